"""Model card of a version: Markdown with the metadata that model hubs read, and the same text as a page.

A card depends only on the stages' files and on the lineage that the version was registered with: the same files give
the same bytes. Its sentences stand in the template.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sadcl import files, layout, params
from sadcl.registry.model_card import markdown, tables
from sadcl.registry.model_card.markdown import code
from sadcl.registry.stage_outputs import ONNX, StageOutputs, translate_form_errors

if TYPE_CHECKING:
    from huggingface_hub import ModelCardData


CARD, PAGE = "README.md", "card.html"
INDEX = ("mAP", "CP", "CR", "CF1", "OP", "OR", "OF1")
"""Figures in the metadata for model hubs."""

RARE = 20
"""Fewest test photos of a class whose own figures mean something; the gate's rule per class skips rarer ones."""

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
    with translate_form_errors(outputs.name):
        model = params.Model.model_validate(outputs.head["model"])
        start, licence = _start(model)
        context = {**_context(outputs), "model": model, "start": start, "licence": licence}
        return CardContent(outputs.name, outputs.weights, str(_metadata(outputs, licence)), context)


def render(content: CardContent, version: str, lineage: Mapping[str, str]) -> dict[str, str]:
    """Render the card's files: ``README.md`` and ``card.html`` by name.

    Args:
        content: what the card shows.
        version: number of the registered version.
        lineage: ``lineage.tags`` as the version was registered with them: a later gate run judges the model again, but
            it was trained only once.
    """
    from huggingface_hub import ModelCard

    table = tables.lineage(content.weights, lineage)
    context = {**content.context, "version": version, "recipe": lineage.get("sadcl.recipe"), "lineage": table}
    with translate_form_errors(content.name):
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
    threshold = {"threshold": tables.threshold(outputs)} if name != "mAP" else {}
    ends = tables.ends(outputs, name)
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
        "training": tables.training(settings),
        "head": {
            "device": "an unknown device",
            "precision": "unknown",
            "epoch": None,
            "best": None,
            "select": None,
            "thresholds": None,
            **outputs.head,
        },
        "threshold": tables.threshold(outputs),
        "figures": tables.figures(outputs, settings),
        "intervals": bool(outputs.verdict.get("intervals")),
        "slices": tables.slices(outputs, scores),
        "error": outputs.metrics["sadcl"].get("ECE"),
        "error_interval": tables.interval(outputs, "ECE"),
        "error_before": outputs.metrics["sadcl"].get("ECE_uncalibrated"),
        "robustness": outputs.metrics["sadcl"].get("robustness"),
        "cost": outputs.metrics.get("cost"),
        "onnx": outputs.file == ONNX,
        "without": ", ".join(name for name, count in positives if not count),
        "rare": ", ".join(f"{name} ({count})" for name, count in positives if 0 < count < RARE),
        "few": RARE,
        "labels": tables.labels(outputs, scores, positives),
    }


def _start(model: params.Model) -> tuple[str, str]:
    """Name and licence of the backbone's initial weights; each is empty where it is unknown."""
    from sadcl.model import backbone
    from sadcl.model.shapes import shapes_only

    if model.weights != "timm":
        return "", PACKAGED if model.weights == "package" else ""
    with shapes_only():  # the configuration is enough: no weights are allocated or downloaded
        config = backbone.build(model, start=False).body.pretrained_cfg
    return f"{config.get('architecture')}.{config.get('tag')}", str(config.get("license") or "")
