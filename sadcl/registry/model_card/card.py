"""Model card of a version: Markdown with the metadata that model hubs read, and the same text as a page.

A card depends only on the stages' files and on the lineage that the version was registered with: the same files give
the same bytes. Its sentences stand in the template.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sadcl import files, layout, params
from sadcl.errors import SadclError
from sadcl.registry.model_card import markdown
from sadcl.registry.model_card.markdown import Markdown, code, table
from sadcl.registry.stage_outputs import ONNX, REPRODUCE, StageOutputs

if TYPE_CHECKING:
    from huggingface_hub import ModelCardData

    from sadcl.evaluation.scores import Scores

CARD, PAGE = "README.md", "card.html"
INDEX = ("mAP", "CP", "CR", "CF1", "OP", "OR", "OF1")
"""Figures in the metadata for model hubs."""

RARE = 20
"""Fewest test photos of a class whose own figures mean something; the gate's rule per class skips rarer ones."""

JUDGED = ("pass", "fail", "undecided")
"""Results of a rule that compared figures."""

PACKAGED = "apache-2.0"
"""Licence of the backbone that `weights: package` starts from; see NOTICE."""


@dataclass(frozen=True)
class CardContent:
    """Content of a model card that does not depend on the registry.

    Attributes:
        name: of the registered model.
        weights: SHA-256 of the weights file.
        metadata: YAML that model hubs read, without its fences.
        context: variables of the template.
    """

    name: str
    weights: str
    metadata: str
    context: dict[str, Any]


def collect(outputs: StageOutputs) -> CardContent:
    """Read what a card shows from the stages' files.

    Raises:
        SadclError: a file is missing or damaged.
    """
    with _translate_errors(outputs.name):
        model = params.Model.model_validate(outputs.head["model"])
        start, licence = _start(model)
        context = {**_context(outputs), "model": model, "start": start, "licence": licence}
        return CardContent(outputs.name, outputs.weights, str(_metadata(outputs, licence)), context)


@contextmanager
def _translate_errors(name: str) -> Iterator[None]:
    """Turn the errors of files that have another form into a ``SadclError``."""
    from jinja2 import TemplateError

    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError, TemplateError) as error:
        reason = " ".join(f"{type(error).__name__} {error}".split())[:200]
        raise SadclError(
            f"Figures, verdict or validation have another form than a model card needs: {reason}",
            where=name,
            fix=REPRODUCE,
        ) from None


def render(content: CardContent, version: str, lineage: Mapping[str, str]) -> dict[str, str]:
    """Render the card's files: ``README.md`` and ``card.html`` by name.

    Args:
        content: what the card shows.
        version: number of the registered version.
        lineage: ``lineage.tags`` as the version was registered with them: a later gate run judges the model again, but
            it was trained only once.
    """
    from huggingface_hub import ModelCard

    table = _lineage(content.weights, lineage)
    context = {**content.context, "version": version, "recipe": lineage.get("sadcl.recipe"), "lineage": table}
    with _translate_errors(content.name):
        text = markdown.render("card.md", context)
        page = markdown.page(text, f"{content.name}, version {version}")
        return {CARD: str(ModelCard(f"---\n{content.metadata}\n---\n\n{text}")), PAGE: page}


def _metadata(outputs: StageOutputs, licence: str) -> "ModelCardData":
    """Metadata in the form that model hubs read."""
    from huggingface_hub import EvalResult, ModelCardData

    source, figures = str(outputs.settings["ingest"]["source"]), outputs.metrics["sadcl"]
    results = [
        EvalResult(
            task_type="image-classification", task_name="Multi-label image classification",
            dataset_type=source, dataset_name=source, dataset_split="test", dataset_args={"images": outputs.test},
            metric_type=name, metric_name=name, metric_value=round(figures[name], 2),
            metric_args=_metric_args(outputs, name),
        )
        for name in INDEX if figures.get(name) is not None
    ]  # fmt: skip
    return ModelCardData(
        model_name=outputs.name,
        library_name="sadcl",
        license=licence or "unknown",
        pipeline_tag="image-classification",
        tags=["multi-label-classification", "image-tagging", "sadcl", str(outputs.head["model"]["backbone"])],
        eval_results=results or None,
    )


def _metric_args(outputs: StageOutputs, name: str) -> dict[str, Any] | None:
    """Arguments of a metric: its threshold where it has one, and its 95 % interval where that is known."""
    threshold = {"threshold": _threshold(outputs)} if name != "mAP" else {}
    ends = _ends(outputs, name)
    return {**threshold, **({"interval_95": [round(end, 2) for end in ends]} if ends else {})} or None


def _context(outputs: StageOutputs) -> dict[str, Any]:
    """Variables of the template that stand in the stages' files."""
    from sadcl.data.table import SPLITS
    from sadcl.evaluation import scores as score_files

    scores = score_files.read_scores(outputs.root / layout.SCORES)
    settings = params.parse(outputs.settings, outputs.root / params.FILE)
    validation = files.read_json(outputs.root / layout.VALIDATION)
    photos = validation.get("images", {})
    counts = (scores.targets & ~scores.ignored).sum(axis=0).tolist()
    positives = list(zip(scores.classes, counts, strict=True))
    return {
        "outputs": outputs,
        "verdict": outputs.verdict,
        "images": len(scores),
        "classes": len(scores.classes),
        "ingest": settings.ingest,
        "photos": ", ".join(f"{photos[split]:,} {split}" for split in SPLITS if split in photos),
        "protocol": ", ".join(f"{split} as in {file}" for split, file in settings.ingest.annotations.items()),
        "passed": validation["passed"],
        "seen": outputs.metrics.get("seen_in_training"),
        "test": code(outputs.test),
        "labels_digest": code(outputs.metrics["digests"]["labels"]),
        "training": _training(settings),
        "head": {
            "device": "an unknown device",
            "precision": "unknown",
            "epoch": None,
            "best": None,
            "select": None,
            "thresholds": None,
            **outputs.head,
        },
        "threshold": _threshold(outputs),
        "figures": _figures(outputs, settings),
        "intervals": bool(outputs.verdict.get("intervals")),
        "slices": _slices(outputs, scores),
        "error": outputs.metrics["sadcl"].get("ECE"),
        "error_interval": _interval(outputs, "ECE"),
        "error_before": outputs.metrics["sadcl"].get("ECE_uncalibrated"),
        "robustness": outputs.metrics["sadcl"].get("robustness"),
        "cost": outputs.metrics.get("cost"),
        "onnx": outputs.file == ONNX,
        "without": ", ".join(name for name, count in positives if not count),
        "rare": ", ".join(f"{name} ({count})" for name, count in positives if 0 < count < RARE),
        "few": RARE,
        "labels": _labels(outputs, scores, positives),
    }


def _training(settings: params.Params) -> Markdown:
    """Table of the settings of training; a sentence for the head ``linear``."""
    if settings.model.head == "linear":
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


def _figures(outputs: StageOutputs, settings: params.Params) -> Markdown:
    """Table of all figures that are known or published, with the publication's figures that the recipe names."""
    from sadcl.evaluation.gate.legend import over_probe
    from sadcl.evaluation.gate.verdict import IN_USE
    from sadcl.evaluation.metrics import NAMES

    model, sarl, probe = (files.flatten(outputs.metrics.get(name) or {}) for name in ("sadcl", "sarl", "probe"))
    if not settings.model.has_stage_2:
        sarl = {}
    if settings.model.head == "linear":
        probe = {}
    published = settings.gate.published
    reference = published.figures if published else {}
    rows = [
        [
            name.replace("CF1_harmonic", "CF1, harmonic").replace("top3.", "top 3, ").replace("in_use.", "in use, "),
            _number(model.get(name)),
            _interval(outputs, name),
            _number(sarl.get(name)) if sarl else "",
            _number(probe.get(name)) if probe else "",
            _number(reference.get(name)) if reference else "",
        ]
        for name in (*NAMES, *IN_USE, *sorted(reference.keys() - set(NAMES)))
        if model.get(name) is not None or name in reference
    ]
    header = ["", "this model", "95 % interval", "SARL alone", "linear probe"]
    figures = table([*header, published.name if published else ""], rows)
    worth = over_probe(outputs.verdict, outputs.metrics) if probe else ""
    return Markdown(f"{figures}\n\n{worth}") if worth else figures


def _slices(outputs: StageOutputs, scores: "Scores") -> list[tuple[str, Markdown]]:
    """Sentence of each rule on slices that was judged, and a table of the model's figure on each slice."""
    from sadcl.evaluation.gate.rules.slices import groups
    from sadcl.evaluation.gate.verdict import MODEL, columns
    from sadcl.evaluation.metrics import to_json

    def figure(part: "Scores", metric: str) -> str:
        figures = {
            **to_json(part.figures(MODEL, _threshold(outputs))),
            "ECE": part.calibration_error(MODEL),
            "in_use": part.figures_in_use(MODEL),
            "robustness": part.robustness(MODEL).get("kept"),
        }
        return _number(files.flatten(figures).get(metric))

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


def _lineage(weights: str, facts: Mapping[str, str]) -> Markdown:
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


def _labels(outputs: StageOutputs, scores: "Scores", positives: Sequence[tuple[str, int]]) -> Markdown:
    """Table of all classes with their average precision, and their thresholds where the model has one for each."""
    from sadcl.evaluation.gate.verdict import MODEL

    ap = [None if value != value else float(value) for value in scores.figures(MODEL, _threshold(outputs))["AP"]]
    thresholds = [_number(value) for value in outputs.head.get("thresholds") or ()] or [""] * len(ap)
    rows = [
        [name, f"{count:,}", _number(value), threshold]
        for (name, count), value, threshold in zip(positives, ap, thresholds, strict=True)
    ]
    return table(["label", "test photos", "AP", "threshold"], rows)


def _start(model: params.Model) -> tuple[str, str]:
    """Name and licence of the backbone's initial weights; each is empty where it is unknown."""
    import torch

    from sadcl.model import backbone

    if model.weights != "timm":
        return "", PACKAGED if model.weights == "package" else ""
    with torch.device("meta"):  # the configuration is enough: no weights are allocated or downloaded
        config = backbone.build(model, start=False).body.pretrained_cfg
    return f"{config.get('architecture')}.{config.get('tag')}", str(config.get("license") or "")


def _threshold(outputs: StageOutputs) -> float:
    """Threshold of the figures that need one."""
    return float(outputs.metrics.get("threshold") or outputs.settings["evaluate"]["threshold"])


def _ends(outputs: StageOutputs, name: str) -> list[float] | None:
    """Ends of a figure's 95 % interval from the gate's verdict; None where the gate computed none."""
    interval = outputs.verdict.get("intervals", {}).get(name, {}).get("model")
    return interval[1:] if interval else None


def _interval(outputs: StageOutputs, name: str) -> str:
    """A figure's 95 % interval as text that never breaks over two lines."""
    ends = _ends(outputs, name)
    return Markdown(f"{ends[0]:.2f}\u00a0to\u00a0{ends[1]:.2f}") if ends else ""


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
