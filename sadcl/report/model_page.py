"""Report for reviewers: verdict, metrics, plots and photos, in one file that opens offline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sadcl import files, layout, params
from sadcl.data.images import decode
from sadcl.data.shards.reader import Shards
from sadcl.data.table import SPLITS
from sadcl.errors import SadclError
from sadcl.evaluation import shown_photos
from sadcl.evaluation.gate.evidence import LOWER_IS_BETTER
from sadcl.evaluation.gate.legend import legend, over_probe
from sadcl.evaluation.metrics import NAMES
from sadcl.evaluation.scores import Scores, read_scores
from sadcl.evaluation.shown_photos import ShownPhoto
from sadcl.report import html, model_plots
from sadcl.report.class_table import ClassGroup, ClassRow, group_by_name
from sadcl.report.overlay import overlay
from sadcl.weights import loader

MODEL = "sadcl"
"""Name of the model for use in the scores."""
SIDE = 176
"""Pixels of the long side of an image in the page."""
WEIGHTS_NAMES = {"ema": "averaged", "raw": "raw"}


@dataclass(frozen=True)
class Label:
    """A true or predicted label of a photo: its probability, result, and attention map as a data URL (or None)."""

    name: str
    probability: float
    result: str
    map: str | None = None


@dataclass(frozen=True)
class PhotoCard:
    """A photo in the page: its image as a data URL, its labels, and the number of wrong labels left out.

    ``grid`` is the resolution of its attention maps, which the page draws smoothed; empty where the head has none.
    """

    image_id: str
    picture: str
    labels: list[Label]
    more: int
    grid: str


@dataclass(frozen=True)
class Column:
    """A column of the table of metrics."""

    name: str
    figures: Mapping[str, Any]
    top3: Mapping[str, Any]
    in_use: Mapping[str, Any]


def render(root: Path, settings: params.Gate) -> str:
    """Render the report from the outputs of the stages; the same files give the same page.

    Args:
        root: the project's folder.
        settings: section gate, with the rules and the published metrics.

    Raises:
        SadclError: a file is missing or damaged.
    """
    metrics, verdict = files.read_json(root / layout.METRICS), files.read_json(root / layout.VERDICT)
    model_scores, champion_scores = read_scores(root / layout.SCORES), read_scores(root / layout.CHAMPION_SCORES)
    head, plots = loader.read_head(loader.model_file(root / layout.SERVED)), root / layout.PLOTS
    classes = html.rows(plots / "per_class.csv")
    described = params.Model.model_validate(head["model"])
    return html.environment().get_template("report.html").render(
        verdict=verdict,
        metrics=metrics,
        data=_data(files.read_json(root / layout.VALIDATION)),
        names=NAMES,
        legend=legend(" ".join(rule["words"] for rule in verdict["rules"])),
        over_probe=over_probe(verdict, metrics),
        model=described,
        columns=_columns(metrics, verdict, model_scores, champion_scores, settings, described),
        champion_missing=champion_scores.refused,
        per_class=model_plots.per_class(classes, described.title, described.has_stage_2),
        class_groups=_class_groups(classes, described.has_stage_2),
        precision_recall=model_plots.precision_recall(html.rows(plots / "precision_recall.csv"), metrics["threshold"]),
        reliability=model_plots.reliability(
            html.rows(plots / "reliability.csv"), html.rows(plots / "reliability_uncalibrated.csv")
        ),
        stage1=model_plots.training(html.rows(root / layout.PRETRAIN_HISTORY), "stage 1"),
        stage2=model_plots.training(html.rows(root / layout.TRAIN_HISTORY), "stage 2"),
        photos=_photos(shown_photos.read(root / layout.SHOWN_PHOTOS), model_scores, Shards(root / layout.TEST_SHARDS)),
        head=head,
        gate=settings,
        rules=[_describe_rule(rule) for rule in settings.rules],
        weights_names=WEIGHTS_NAMES,
    )  # fmt: skip


def _columns(
    metrics: Mapping[str, Any],
    verdict: Mapping[str, Any],
    model_scores: Scores,
    champion_scores: Scores,
    settings: params.Gate,
    model: params.Model,
) -> list[Column]:
    """Columns of the table of metrics; the champion's only where its scores are of the same images and labels."""
    other_weights = "raw" if metrics["chosen"] == "ema" else "ema"
    columns = [_column(model.title, metrics["sadcl"])]
    columns += [_column("SARL alone", metrics["sarl"])] if model.has_stage_2 else []
    columns += [_column("Linear probe", metrics["probe"])] if "probe" in metrics and not model.is_linear_probe else []
    if len(champion_scores) and champion_scores.labels_digest() == model_scores.labels_digest():
        version = f" (version {verdict['champion_version']})" if verdict.get("champion_version") else ""
        figures = dict(champion_scores.figures("champion", metrics["threshold"]))
        figures["ECE"] = champion_scores.calibration_error("champion")
        figures["in_use"] = champion_scores.figures_in_use("champion")
        columns.append(_column(f"Champion{version}", figures))
    if settings.published is not None:
        published = settings.published.figures
        top3 = {name.removeprefix("top3."): value for name, value in published.items() if name.startswith("top3.")}
        columns.append(Column(settings.published.name, published, top3, {}))
    if model.is_linear_probe:  # it has one set of weights
        return columns
    return [*columns, _column(f"{model.title}, {WEIGHTS_NAMES[other_weights]} weights", metrics["sadcl_other"])]


def _column(name: str, figures: Mapping[str, Any]) -> Column:
    return Column(name, figures, figures["top3"], figures.get("in_use", {}))


def _class_groups(classes: Sequence[Mapping[str, str]], with_stage_1: bool) -> list[ClassGroup]:
    """Table of all classes with average precision and test photos; none where the plots show all classes."""
    if len(classes) <= model_plots.MANY:
        return []
    names = ("AP", "AP_sarl") if with_stage_1 else ("AP",)
    return group_by_name([
        ClassRow(row["class"], (*(html.figure(float(row[name])) for name in names), f"{int(row['positives']):,}"))
        for row in classes
    ])  # fmt: skip


def _describe_rule(rule: params.Rule) -> tuple[str, str]:
    """Measurement and requirement of a rule."""
    if isinstance(rule, params.PerClass):
        return "each class", f"loses at most {rule.margin:.2f} AP to the champion"
    if isinstance(rule, params.Cost):
        if rule.at_most is not None:
            return rule.of, f"at most {rule.at_most:,.0f}"
        # without a bound the gate has refused
        return rule.of, "no bound" if rule.times is None else f"at most {rule.times:g} times the champion's"
    if isinstance(rule, params.Slice):
        return f"{rule.metric} by {rule.column}", f"each slice loses at most {rule.margin:.2f} to the champion"
    if isinstance(rule, params.Probe):
        limit = f"at least {rule.at_least:+.2f} over a linear probe"
        return "mAP", f"{limit}, {'whole interval' if rule.by == 'interval' else 'value only'}"
    if isinstance(rule, params.Relative):
        side = "above" if rule.metric in LOWER_IS_BETTER else "below"
        bound_text = f"at most {rule.margin:.2f} {side} the champion's"
    elif isinstance(rule, params.Absolute):
        side, bound = ("least", rule.at_least) if rule.at_least is not None else ("most", rule.at_most)
        if bound is None:  # the gate has refused
            return rule.metric, "no bound"
        bound_text = f"at {side} {bound:.2f}" + (f", margin {rule.margin:.2f}" if rule.margin else "")
    else:  # a rule of one's own
        settings = rule.model_dump(exclude={"kind"}, exclude_none=True)
        return rule.kind, ", ".join(f"{name} {value}" for name, value in settings.items())
    return rule.metric, f"{bound_text}, {'whole interval' if rule.by == 'interval' else 'value only'}"


def _data(validation: Mapping[str, Any]) -> dict[str, Any]:
    """Result of validation: failed rules first, images by split in the order of their use."""
    rules: Sequence[Mapping[str, Any]] = validation.get("rules", [])
    order = {"failed": 0, "warning": 1, "passed": 2}
    counts = validation.get("images", {})
    return {
        "passed": validation["passed"],
        "rules": sorted(rules, key=lambda rule: order.get(rule["status"], 3)),
        "images": {split: counts[split] for split in SPLITS if split in counts},
    }


def _photos(shown: Sequence[ShownPhoto], model_scores: Scores, test: Shards) -> dict[str, list[PhotoCard]]:
    """The photos that ``evaluate`` has chosen, by group."""
    images, classes = len(model_scores), len(model_scores.classes)
    if any(photo.row >= images or max(photo.true + photo.wrong, default=0) >= classes for photo in shown):
        fix = "Run `dvc repro -f evaluate`"
        raise SadclError("The photos to show belong to other scores", where=layout.SHOWN_PHOTOS, fix=fix)
    own = replace(model_scores, slices={}).part(np.array([photo.row for photo in shown], np.int64))
    probabilities, predicted = own.in_use(MODEL)
    try:
        test_rows = test.ids.rows_of(own.ids)
    except KeyError as error:
        message = "The scores contain a photo that is not in the shards"
        raise SadclError(message, where=error.args[0], fix="Run `dvc repro`") from None
    cards: dict[str, list[PhotoCard]] = {shown_photos.WORST: [], shown_photos.BEST: []}
    for i, photo in enumerate(shown):
        encoded = test.jpeg(int(test_rows[i]))
        cards[photo.group].append(_card(photo, own.ids[i], own.classes, encoded, probabilities[i], predicted[i]))
    return cards


def _card(
    photo: ShownPhoto,
    image_id: str,
    classes: Sequence[str],
    encoded: bytes,
    probabilities: npt.NDArray[np.float64],
    predicted: npt.NDArray[np.bool_],
) -> PhotoCard:
    """One photo with its true and wrong labels, the most likely first."""
    image = decode.decode(encoded, at_least=SIDE, where=f"image {image_id}")
    image.thumbnail((SIDE, SIDE))
    maps = {} if photo.maps is None else dict(zip(photo.mapped, photo.maps, strict=True))

    def label(j: int, result: str) -> Label:
        picture = html.address(overlay(image, maps[j])) if j in maps else None
        return Label(classes[j], float(probabilities[j]), result, picture)

    labels = [label(j, "found" if predicted[j] else "missed") for j in photo.true]
    labels += [label(j, "wrong") for j in photo.wrong[: shown_photos.MAX_WRONG]]
    grid = "" if photo.maps is None else f"{photo.maps.shape[2]} × {photo.maps.shape[1]}"
    return PhotoCard(image_id, html.address(image), labels, len(photo.wrong[shown_photos.MAX_WRONG :]), grid)
