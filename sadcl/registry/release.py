"""Release of a model: everything that the registry gets about it, read from the project's files."""

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sadcl import files, layout, params
from sadcl.evaluation.gate.legend import over_probe
from sadcl.registry import lineage
from sadcl.registry.model_card import card
from sadcl.registry.stage_outputs import HISTORIES, StageOutputs, collect_stage_outputs, translate_form_errors

SUMMARY_METRICS = ("mAP", "CF1", "OF1")
"""Figures in the description, which a reviewer reads first."""


class CurvePoint(NamedTuple):
    """A value of training after an epoch.

    Attributes:
        name: ``STAGE/COLUMN`` of the stage's history.csv.
        epoch: counted from 1.
        value: finite.
    """

    name: str
    epoch: int
    value: float


@dataclass(frozen=True)
class Release:
    """A model with all that is registered about it; nothing here comes from the registry.

    Attributes:
        outputs: outputs of the stages, checked against each other.
        lineage: tags about code, data, settings and machine.
        description: verdict, rules and summary figures in Markdown.
        card: content of the model card, which gets its version number when it is rendered.
        settings: params.yaml as text, names joined by dots.
        metrics: finite test figures by MLflow's names: ``mAP``, ``top3/CF1``; ``sarl/mAP`` of stage 1.
        curves: training curves.
        datasets: digest of the shards by split, ``test`` first.
        scores: SHA-256 of the scores file.
        over_probe: sentence on what the trained head is worth beside a linear probe; empty without one.
    """

    outputs: StageOutputs
    lineage: dict[str, str]
    description: str
    card: card.CardContent
    settings: dict[str, str]
    metrics: dict[str, float]
    curves: list[CurvePoint]
    datasets: dict[str, str]
    scores: str
    over_probe: str = ""


def prepare(root: Path = Path(".")) -> Release:
    """Read a release from a project; opens no registry.

    Raises:
        SadclError: a file is missing, damaged or about another model.
    """
    with translate_form_errors(root):
        outputs = collect_stage_outputs(root)
        settings = files.flatten(outputs.settings)
        inputs = outputs.head.get("inputs") or {}
        return Release(
            outputs=outputs,
            lineage=lineage.tags(outputs),
            description=_description(outputs),
            card=card.collect(outputs),
            settings={name: value if isinstance(value, str) else json.dumps(value) for name, value in settings.items()},
            metrics=_metrics(outputs.metrics),
            curves=list(_curves(root)),
            datasets={
                "test": str(outputs.metrics["digests"]["shards"]),
                **{k: v for k, v in inputs.items() if k == "train"},
            },
            scores=files.digest(root / layout.SCORES),
            over_probe=over_probe(outputs.verdict, outputs.metrics),
        )


def percent(value: float | None) -> str:
    """A figure in percent with two digits, or ``unknown``."""
    return "unknown" if value is None else f"{value:.2f}"


def _description(outputs: StageOutputs) -> str:
    model = params.Model.model_validate(outputs.settings["model"])
    rules = "\n".join(f"* **{rule['result']}**: {rule['words']}" for rule in outputs.verdict["rules"])
    rows = "\n".join(
        f"| {label} | " + " | ".join(percent(outputs.metrics[key].get(metric)) for metric in SUMMARY_METRICS) + " |"
        for label, key in (
            (f"this model, {model.title}", "sadcl"),
            ("its stage 1, SARL alone", "sarl" if model.has_stage_2 else None),
            ("a linear probe on the same backbone", None if model.is_linear_probe else "probe"),
        )
        if key in outputs.metrics
    )
    return (
        f"**Gate: {outputs.verdict['verdict']}**\n\n{rules}\n\n"
        f"| test figures, % | {' | '.join(SUMMARY_METRICS)} |\n|---{'|---' * len(SUMMARY_METRICS)}|\n{rows}\n\n"
        f"The run's artifact {card.CARD} is the model card, {card.PAGE} shows it as a page; "
        f"{layout.MODEL_REPORT.name} has curves and photos."
    )


def _metrics(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Finite numbers only: MLflow's database takes no other."""
    figures = {name.removeprefix("sadcl.").replace(".", "/"): value for name, value in files.flatten(metrics).items()}
    return {name: float(value) for name, value in figures.items() if _is_finite_number(value)}


def _curves(root: Path) -> Iterator[CurvePoint]:
    for stage, path in HISTORIES.items():
        for row in csv.DictReader(io.StringIO((root / path).read_text(encoding="utf-8"))):
            epoch = int(float(row.pop("epoch")))
            cells = {column: _finite(cell) for column, cell in row.items()}
            yield from (CurvePoint(f"{stage}/{column}", epoch, v) for column, v in cells.items() if v is not None)


def _finite(cell: str) -> float | None:
    """A cell of history.csv; None where it is empty (a value is not taken every epoch) or not finite."""
    try:
        value = float(cell)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def _is_finite_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
