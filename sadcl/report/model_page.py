"""The page that a reviewer reads: verdict, figures, plots, photos; one file that opens offline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sadcl import files, params
from sadcl.data.images import decode
from sadcl.data.shards.reader import Shards
from sadcl.data.table import SPLITS
from sadcl.errors import SadclError
from sadcl.evaluation import scores as score_files
from sadcl.evaluation.gate.evidence import LOWER_IS_BETTER
from sadcl.evaluation.metrics import NAMES
from sadcl.evaluation.scores import Scores
from sadcl.model import tagger
from sadcl.report import html, model_plots
from sadcl.report.attention_maps import overlay
from sadcl.weights import loader

SHOWN = 6
"""Photos in the row of the best and in that of the worst."""
TRUE, WRONG = 8, 4
"""At most so many true and so many wrong labels of a photo get a map; the likeliest first."""
SIDE = 176
"""Pixels of the long side of a picture in the page."""
WORDS = {"ema": "averaged", "raw": "raw"}


@dataclass(frozen=True)
class Label:
    """A label of a photo, or one that the model gave it: its probability, and where it looked (or nothing)."""

    name: str
    probability: float
    result: str
    map: str | None = None


@dataclass(frozen=True)
class Shown:
    """A photo in the page: its picture as a data address, its labels, how many wrong ones have no room.

    ``grid`` says how many positions each of its maps truly has: the page draws them smooth.
    """

    image_id: str
    picture: str
    labels: list[Label]
    more: int
    grid: str


@dataclass(frozen=True)
class Column:
    """A column of the table of figures."""

    name: str
    figures: Mapping[str, Any]
    top3: Mapping[str, Any]
    in_use: Mapping[str, Any]


def render(root: Path, settings: params.Gate) -> str:
    """Read what the stages wrote under ``root`` and render the page; the same files give the same page.

    Args:
        root: the project's folder.
        settings: section gate, whose rules and published figures the page shows.

    Raises:
        SadclError: a file is missing or damaged.
    """
    reports, models = root / "reports", root / "models"
    metrics, verdict = files.read_json(reports / "metrics.json"), files.read_json(reports / "verdict.json")
    found = score_files.read_scores(reports / "scores.parquet")
    rival = score_files.read_scores(reports / "champion_scores.parquet")
    model = loader.load_tagger(models / "served")
    return html.environment().get_template("report.html").render(
        verdict=verdict,
        metrics=metrics,
        data=_data(files.read_json(reports / "validation.json")),
        names=NAMES,
        columns=_columns(metrics, verdict, found, rival, settings),
        refused=rival.refused,
        per_class=model_plots.per_class(html.rows(reports / "plots/per_class.csv")),
        precision_recall=model_plots.precision_recall(
            html.rows(reports / "plots/precision_recall.csv"), metrics["threshold"]
        ),
        reliability=model_plots.reliability(
            html.rows(reports / "plots/reliability.csv"), html.rows(reports / "plots/reliability_uncalibrated.csv")
        ),
        stage1=model_plots.training(html.rows(models / "pretrain/history.csv"), "stage 1, SARL"),
        stage2=model_plots.training(html.rows(models / "train/history.csv"), "stage 2, SADCL"),
        photos=_photos(found, Shards(root / "data/shards/test"), model),
        head=model.head,
        gate=settings,
        rules=[_asked(rule) for rule in settings.rules],
        words=WORDS,
    )  # fmt: skip


def _columns(
    metrics: Mapping[str, Any], verdict: Mapping[str, Any], found: Scores, rival: Scores, settings: params.Gate
) -> list[Column]:
    """Ours, SARL alone, the champion if it was scored on the same images and labels, published, our other weights."""
    other = "raw" if metrics["chosen"] == "ema" else "ema"
    columns = [_column("SADCL", metrics["sadcl"]), _column("SARL alone", metrics["sarl"])]
    if len(rival) and rival.labels_digest() == found.labels_digest():
        version = f" (version {verdict['champion_version']})" if verdict.get("champion_version") else ""
        known = rival.figures("champion", metrics["threshold"])
        in_use = {"ECE": rival.calibration_error("champion"), "in_use": rival.figures_in_use("champion")}
        columns.append(_column(f"Champion{version}", {**known, **in_use}))
    if settings.published is not None:
        figures = settings.published.figures
        top3 = {name.removeprefix("top3."): value for name, value in figures.items() if name.startswith("top3.")}
        columns.append(Column(settings.published.name, figures, top3, {}))
    return [*columns, _column(f"SADCL, {WORDS[other]} weights", metrics["sadcl_other"])]


def _column(name: str, figures: Mapping[str, Any]) -> Column:
    return Column(name, figures, figures["top3"], figures.get("in_use", {}))


def _asked(rule: params.Rule) -> tuple[str, str]:
    """What a rule is about, and what it asks."""
    if isinstance(rule, params.PerClass):
        return "each class", f"may lose {rule.margin:.2f} AP to the champion"
    if isinstance(rule, params.Cost):
        return (
            rule.of,
            f"at most {rule.at_most:,.0f}" if rule.at_most else f"at most {rule.times:g} times the champion's",
        )
    if isinstance(rule, params.Slice):
        return f"{rule.metric} by {rule.column}", f"each slice may lose {rule.margin:.2f} to the champion"
    if isinstance(rule, params.Relative):
        asked = f"may be {rule.margin:.2f} {'above' if rule.metric in LOWER_IS_BETTER else 'below'} the champion's"
    else:
        bound, sign = (rule.at_least, "-") if rule.at_least is not None else (rule.at_most, "+")
        asked = f"at {'least' if sign == '-' else 'most'} {bound:.2f} {sign} {rule.margin:.2f}"
    return rule.metric, f"{asked}, {'all of its interval' if rule.by == 'interval' else 'the figure alone'}"


def _data(validation: Mapping[str, Any]) -> dict[str, Any]:
    """What validation said, broken rules first; images a split in the order of their use."""
    rules: Sequence[Mapping[str, Any]] = validation.get("rules", [])
    order = {"failed": 0, "passed": 1}
    counts = validation.get("images", {})
    return {
        "passed": validation["passed"],
        "rules": sorted(rules, key=lambda rule: order.get(rule["status"], 2)),
        "images": {split: counts[split] for split in SPLITS if split in counts},
    }


def _photos(found: Scores, test: Shards, model: tagger.Tagger) -> dict[str, list[Shown]]:
    """The labelled photos that went best and worst, by the mean log loss over their classes; none is in both."""
    probable, given = found.in_use("sadcl")
    right = np.where(found.targets, probable, 1 - probable).clip(1e-9)
    known = ~found.ignored
    loss = -(np.log(right) * known).sum(1) / known.sum(1).clip(1)
    labelled = np.flatnonzero(found.targets.any(1))
    order = labelled[np.argsort(loss[labelled], kind="stable")]
    best = order[: min(SHOWN, (len(order) + 1) // 2)]
    worst = order[len(best) :][::-1][:SHOWN]
    row = {image_id: i for i, image_id in enumerate(test.ids)}
    lost = [found.ids[i] for i in (*worst, *best) if found.ids[i] not in row]
    if lost:
        raise SadclError("The scores name a photo that is not in the shards", where=lost[0], fix="Run `dvc repro`")
    return {
        name: [_shown(found, int(i), test.jpeg(row[found.ids[i]]), probable[i], given[i], model) for i in chosen]
        for name, chosen in (("worst", worst), ("best", best))
    }


def _shown(
    found: Scores, i: int, encoded: bytes, probable: npt.NDArray[np.float64], given: npt.NDArray[np.bool_],
    model: tagger.Tagger,
) -> Shown:  # fmt: skip
    """One photo with the labels that it has and those that it was given, the likeliest first."""
    maps = model.attention(encoded)
    image = decode.decode(encoded, at_least=SIDE, where=f"image {found.ids[i]}")
    image.thumbnail((SIDE, SIDE))
    order = np.argsort(-probable, kind="stable")
    true = [j for j in order if found.targets[i, j]]
    wrong = [j for j in order if given[j] and not found.targets[i, j] and not found.ignored[i, j]]

    def label(j: int, result: str, with_map: bool) -> Label:
        picture = html.address(overlay(image, maps[j])) if with_map else None
        return Label(found.classes[j], float(probable[j]), result, picture)

    labels = [label(j, "found" if given[j] else "missed", n < TRUE) for n, j in enumerate(true)]
    labels += [label(j, "wrong", with_map=True) for j in wrong[:WRONG]]
    return Shown(found.ids[i], html.address(image), labels, len(wrong[WRONG:]), f"{maps.shape[2]} × {maps.shape[1]}")
