"""Comparison of a version with the champion, by class and by photo, from both scores files."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sadcl.evaluation import curves, reliability, scores

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FORMAT = 2
"""Version of the value that ``compare`` returns; part of its cache key."""
MODEL = "sadcl"
"""Name of the model's own scores in a scores file."""
CHAMPION = "champion"
"""Name of the champion's scores in a file of the verifier."""
MAX_PHOTOS, MIN_DIFFERENCE = 6, 0.05
"""Most photos on which the version is better, and worse; least difference of probabilities."""


def compare(version_scores: Path, champion_scores: Path | None, threshold: float) -> dict[str, Any]:
    """Compare two models on the same images.

    Args:
        version_scores: scores file of the version.
        champion_scores: scores file of the champion on the same images, or None.
        threshold: probability above which a label is predicted.

    Returns:
        JSON value. ``classes``: rows of name, positives, AP, champion and change (percent, None where not known);
        ``curves`` of ``version`` and ``champion``: SVGs by name; ``better`` and ``worse``: photos with the largest
        differences, each with image_id, label, class (its index), present, both probabilities, and whether each model
        is right about the label at its own threshold.

    Raises:
        SadclError: a file is damaged.
    """
    model = scores.read_scores(version_scores)
    champion = scores.read_scores(champion_scores) if champion_scores is not None else None
    ap = model.figures(MODEL, threshold)["AP"].tolist()
    rival = MODEL if champion is None or MODEL in champion.logits else CHAMPION
    champion_ap = champion.figures(rival, threshold)["AP"].tolist() if champion is not None else [None] * len(ap)
    positives = (model.targets & ~model.ignored).sum(axis=0)
    rows = [_row(str(name), int(positives[j]), ap[j], champion_ap[j]) for j, name in enumerate(model.classes)]
    drawn = {"version": _curves(model, threshold, MODEL)}
    photos: dict[str, list[dict[str, Any]]] = {"better": [], "worse": []}
    if champion is not None:
        drawn["champion"] = _curves(champion, threshold, rival)
        photos = _largest_differences(model, champion, rival)
    return {"classes": rows, "curves": drawn, **photos}


def _row(name: str, positives: int, ap: float, champion_ap: float | None) -> dict[str, Any]:
    before, after = _number(champion_ap), _number(ap)
    change = None if before is None or after is None else after - before
    return {"name": name, "positives": positives, "AP": after, "champion": before, "change": change}


def _number(value: float | None) -> float | None:
    return None if value is None or value != value else value


def _largest_differences(model: scores.Scores, champion: scores.Scores, rival: str) -> dict[str, list[dict[str, Any]]]:
    """Photos with the largest differences; each photo counts with its most different label."""
    import numpy as np

    champion = champion.part(champion.ids.rows_of(model.ids))
    (after, after_labels), (before, before_labels) = model.in_use(MODEL), champion.in_use(rival)
    # above 0 where the version is nearer to the label, below where the champion is; [N, C]
    gain = np.where(model.targets, after - before, before - after) * ~model.ignored
    label = np.abs(gain).argmax(axis=1)
    largest = gain[np.arange(len(model)), label]

    def describe_rows(rows: "NDArray[np.int64]") -> list[dict[str, Any]]:
        return [
            {
                "image_id": model.ids[i],
                "label": str(model.classes[label[i]]),
                "class": int(label[i]),
                "present": bool(model.targets[i, label[i]]),
                "version": float(after[i, label[i]]),
                "champion": float(before[i, label[i]]),
                "version_is_right": bool(after_labels[i, label[i]] == model.targets[i, label[i]]),
                "champion_is_right": bool(before_labels[i, label[i]] == model.targets[i, label[i]]),
            }
            for i in rows
        ]

    order = np.argsort(-largest, kind="stable")
    return {
        "better": describe_rows(order[largest[order] >= MIN_DIFFERENCE][:MAX_PHOTOS]),
        "worse": describe_rows(order[largest[order] <= -MIN_DIFFERENCE][::-1][:MAX_PHOTOS]),
    }


def _curves(model: scores.Scores, threshold: float, name: str) -> dict[str, str]:
    from sadcl.report import model_plots

    pr_rows = curves.precision_recall(model.probabilities(name), model.targets, model.ignored)
    calibrated, uncalibrated = (
        reliability.reliability(probable, model.targets, model.ignored)
        for probable in (model.in_use(name)[0], model.probabilities(name))
    )
    return {
        "precision_recall": _styles_to_attributes(model_plots.precision_recall(_csv_rows(pr_rows), threshold)),
        "reliability": _styles_to_attributes(model_plots.reliability(_csv_rows(calibrated), _csv_rows(uncalibrated))),
    }


def _csv_rows(rows: list[dict[str, float]]) -> list[Mapping[str, str]]:
    """Convert numbers to text, as the plots read them from CSV files."""
    return [{name: f"{value:.6g}" for name, value in row.items()} for row in rows]


def _styles_to_attributes(svg: str) -> str:
    """Turn inline styles of an SVG into attributes, since the page's policy forbids styles; fonts are the page's."""
    svg = re.sub(r"\s*<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)

    def attributes(style: re.Match[str]) -> str:
        pairs = [part.partition(":") for part in style[1].split(";")]
        return "".join(f' {key.strip()}="{value.strip()}"' for key, _, value in pairs if key.strip() != "font-family")

    return re.sub(r' style="([^"]*)"', attributes, svg)
