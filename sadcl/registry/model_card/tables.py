"""Tables of a model card: training, figures, slices, labels, lineage."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sadcl import files, params
from sadcl.registry.model_card.markdown import Markdown, code, table
from sadcl.registry.stage_outputs import StageOutputs

if TYPE_CHECKING:
    from sadcl.evaluation.scores import Scores

JUDGED = ("pass", "fail", "undecided")
"""Results of a rule that compared figures."""


def training(settings: params.Params) -> Markdown:
    """Table of the settings of training; a sentence for the head ``linear``."""
    if settings.model.is_linear_probe:
        return Markdown("A linear probe: logistic regression on the features of the backbone, which stays as it is.")
    first, second = settings.pretrain, settings.train
    both = (first, second)
    rows = [
        ["epochs, at most", *(f"{stage.epochs}" for stage in both)],
        ["batch", *(f"{stage.batch}" for stage in both)],
        ["learning rate", *(f"{stage.lr:g}" for stage in both)],
        ["of the backbone", *(f"{stage.lr * stage.backbone_lr:g}" for stage in both)],
        ["weight decay", *(f"{stage.weight_decay:g}" for stage in both)],
        ["classification loss", *(_loss(stage) for stage in both)],
        ["sample-to-sample contrast", "", f"weight {second.sample_to_sample:g}"],
        ["prototype-to-sample contrast", "", f"weight {second.prototype_to_sample:g}"],
        ["augmentation", *(stage.augmentation.kind for stage in both)],
    ]
    if not settings.model.has_stage_2:
        return table(["", settings.model.title], [row[:2] for row in rows if row[1]])
    return table(["", "stage 1, SARL", "stage 2, SADCL"], rows)


def _loss(stage: params.Pretrain) -> str:
    powers = stage.gamma_negative, stage.gamma_positive
    return f"asymmetric, powers {powers[0]:g} and {powers[1]:g}" if any(powers) else "binary cross-entropy"


def figures(outputs: StageOutputs, settings: params.Params) -> Markdown:
    """Table of all figures that are known or published, with the publication's figures that the recipe names."""
    from sadcl.evaluation.gate.legend import over_probe
    from sadcl.evaluation.gate.verdict import IN_USE
    from sadcl.evaluation.metrics import NAMES

    model, sarl, probe = (files.flatten(outputs.metrics.get(name) or {}) for name in ("sadcl", "sarl", "probe"))
    if not settings.model.has_stage_2:
        sarl = {}
    if settings.model.is_linear_probe:
        probe = {}
    published = settings.gate.published
    reference = published.figures if published else {}
    rows = [
        [
            name.replace("CF1_harmonic", "CF1, harmonic").replace("top3.", "top 3, ").replace("in_use.", "in use, "),
            number(model.get(name)),
            interval(outputs, name),
            number(sarl.get(name)) if sarl else "",
            number(probe.get(name)) if probe else "",
            number(reference.get(name)) if reference else "",
        ]
        for name in (*NAMES, *IN_USE, *sorted(reference.keys() - set(NAMES)))
        if model.get(name) is not None or name in reference
    ]
    header = ["", "this model", "95 % interval", "SARL alone", "linear probe"]
    figures = table([*header, published.name if published else ""], rows)
    worth = over_probe(outputs.verdict, outputs.metrics) if probe else ""
    return Markdown(f"{figures}\n\n{worth}") if worth else figures


def slices(outputs: StageOutputs, scores: "Scores") -> list[tuple[str, Markdown]]:
    """Sentence of each rule on slices that was judged, and a table of the model's figure on each slice."""
    from sadcl.evaluation.gate.rules.slices import groups
    from sadcl.evaluation.gate.verdict import MODEL, columns
    from sadcl.evaluation.metrics import to_json

    def figure(part: "Scores", metric: str) -> str:
        figures = {
            **to_json(part.figures(MODEL, threshold(outputs))),
            "ECE": part.calibration_error(MODEL),
            "in_use": part.figures_in_use(MODEL),
            "robustness": part.robustness(MODEL).get("kept"),
        }
        return number(files.flatten(figures).get(metric))

    tables, by = [], columns(scores)
    for rule in outputs.verdict["rules"]:
        if rule.get("kind") == "slice" and rule["result"] in JUDGED:
            column, metric = rule["column"], rule["metric"]
            parts = {name: scores.part(rows.nonzero()[0]) for name, rows in groups(by[column]).items()}
            rows = [
                [name, f"{len(part):,}", figure(part, metric)]
                for name, part in parts.items()
                if len(part) >= rule["min_images"]
            ]
            tables.append((rule["words"], table([column, "test photos", metric], rows)))
    return tables


def lineage(weights: str, facts: Mapping[str, str]) -> Markdown:
    """Table of what a version was trained from: code, data and packages."""
    packages = json.loads(facts.get("sadcl.packages", "{}"))
    commit, _, edited = facts.get("sadcl.git", "").partition(", ")
    rows = [
        ["weights", code(weights)],
        ["code", code(commit)],
        ["files", "edited after that commit" if edited else ""],
        ["dvc.lock", code(facts.get("sadcl.dvc_lock", ""))],
        ["training and test data", code(facts.get("sadcl.data", ""))],
        ["packages", ", ".join(f"{name} {version}" for name, version in packages.items())],
    ]
    return table(["", "made with"], [row for row in rows if row[1]])


def labels(outputs: StageOutputs, scores: "Scores", positives: Sequence[tuple[str, int]]) -> Markdown:
    """Table of all classes with their average precision, and their thresholds where the model has one for each."""
    from sadcl.evaluation.gate.verdict import MODEL

    ap = scores.figures(MODEL, threshold(outputs))["AP"]
    thresholds = [number(value) for value in outputs.head.get("thresholds") or ()] or [""] * len(ap)
    rows = [
        [name, f"{count:,}", number(value), threshold]
        for (name, count), value, threshold in zip(positives, ap, thresholds, strict=True)
    ]
    return table(["label", "test photos", "AP", "threshold"], rows)


def threshold(outputs: StageOutputs) -> float:
    """Threshold of the figures that need one."""
    return float(outputs.metrics.get("threshold") or outputs.settings["evaluate"]["threshold"])


def ends(outputs: StageOutputs, name: str) -> list[float] | None:
    """Ends of a figure's 95 % interval from the gate's verdict; None where the gate computed none."""
    interval = outputs.verdict.get("intervals", {}).get(name, {}).get("model")
    return interval[1:] if interval else None


def interval(outputs: StageOutputs, name: str) -> str:
    """A figure's 95 % interval as text that never breaks over two lines."""
    known = ends(outputs, name)
    return Markdown(f"{known[0]:.2f}\u00a0to\u00a0{known[1]:.2f}") if known else ""


def number(value: float | None) -> str:
    """A figure with two digits; a dash where it is unknown, None or NaN."""
    return "–" if value is None or value != value else f"{value:.2f}"
