"""A version beside the champion, class by class and photo by photo, worked out from both scores files."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sadcl.evaluation import curves, reliability, scores

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FORMAT = 1
"""Of the value that ``compare`` returns: another one is worked out anew."""
MODEL = "sadcl"
"""Name of the model itself among its scores."""
SHOWN, LEAST = 6, 0.05
"""Photos on which the version does better, and as many on which it does worse; by so much at least."""


def compare(ours: Path, theirs: Path | None, threshold: float) -> dict[str, Any]:
    """What a page shows of two models on the same images.

    Args:
        ours: scores of the version.
        theirs: scores of the champion on the same images; None where there is nothing to compare with.
        threshold: of the labels that are predicted.

    Returns:
        ``classes``: rows of name, positives, AP, champion and change (percent, None where not known); ``curves`` of
        ``version`` and ``champion``: SVGs by name; ``better`` and ``worse``: photos on which the two lie farthest
        apart, each with image_id, label, class (its index), present, and both probabilities. JSON can hold it.

    Raises:
        SadclError: a file is damaged.
    """
    model = scores.read_scores(ours)
    champion = scores.read_scores(theirs) if theirs is not None else None
    figures = model.figures(MODEL, threshold)
    rival = champion.figures(MODEL, threshold)["AP"] if champion is not None else None
    positives = (model.targets & ~model.ignored).sum(axis=0)
    rows = [
        _row(str(name), int(positives[j]), float(figures["AP"][j]), None if rival is None else float(rival[j]))
        for j, name in enumerate(model.classes)
    ]
    drawn = {"version": _curves(model, threshold)}
    photos: dict[str, list[dict[str, Any]]] = {"better": [], "worse": []}
    if champion is not None:
        drawn["champion"] = _curves(champion, threshold)
        photos = _apart(model, champion)
    return {"classes": rows, "curves": drawn, **photos}


def _row(name: str, positives: int, ap: float, rival: float | None) -> dict[str, Any]:
    ours, theirs = _number(ap), _number(rival)
    change = None if ours is None or theirs is None else ours - theirs
    return {"name": name, "positives": positives, "AP": ours, "champion": theirs, "change": change}


def _number(value: float | None) -> float | None:
    return None if value is None or value != value else value


def _apart(model: scores.Scores, champion: scores.Scores) -> dict[str, list[dict[str, Any]]]:
    """Of each photo the label on which the two lie farthest apart; the photos where that is most."""
    import numpy as np

    place = {name: i for i, name in enumerate(champion.ids)}
    champion = champion.part(np.array([place[name] for name in model.ids]))
    (ours, _), (theirs, _) = model.in_use(MODEL), champion.in_use(MODEL)
    gain = np.where(model.targets, ours - theirs, theirs - ours) * ~model.ignored
    label = np.abs(gain).argmax(axis=1)
    most = gain[np.arange(len(model)), label]

    def shown(rows: "NDArray[np.int64]") -> list[dict[str, Any]]:
        return [
            {
                "image_id": model.ids[i],
                "label": str(model.classes[label[i]]),
                "class": int(label[i]),
                "present": bool(model.targets[i, label[i]]),
                "version": float(ours[i, label[i]]),
                "champion": float(theirs[i, label[i]]),
            }
            for i in rows
        ]

    order = np.argsort(-most, kind="stable")
    return {
        "better": shown(order[most[order] >= LEAST][:SHOWN]),
        "worse": shown(order[most[order] <= -LEAST][::-1][:SHOWN]),
    }


def _curves(found: scores.Scores, threshold: float) -> dict[str, str]:
    from sadcl.report import model_plots

    line = curves.precision_recall(found.probabilities(MODEL), found.targets, found.ignored)
    bins, before = (
        reliability.reliability(probable, found.targets, found.ignored)
        for probable in (found.in_use(MODEL)[0], found.probabilities(MODEL))
    )
    return {
        "precision_recall": _plain(model_plots.precision_recall(_text(line), threshold)),
        "reliability": _plain(model_plots.reliability(_text(bins), _text(before))),
    }


def _text(rows: list[dict[str, float]]) -> list[Mapping[str, str]]:
    """As a CSV file has them."""
    return [{name: f"{value:.6g}" for name, value in row.items()} for row in rows]


def _plain(svg: str) -> str:
    """An SVG whose looks are attributes: the page's policy lets no style stand in it. Letters are the page's own."""
    svg = re.sub(r"\s*<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)

    def attributes(style: re.Match[str]) -> str:
        pairs = [part.partition(":") for part in style[1].split(";")]
        return "".join(f' {key.strip()}="{value.strip()}"' for key, _, value in pairs if key.strip() != "font-family")

    return re.sub(r' style="([^"]*)"', attributes, svg)
