"""From scores files to the gate: figures of model and champion, computed anew on the same images.

Whatever stands against a comparison becomes a refusal with its reason, never an exception and never
a figure.
"""

from collections.abc import Mapping
from math import isnan
from typing import Any

from sadcl import params
from sadcl.errors import SadclError
from sadcl.evaluation import gate
from sadcl.evaluation.champion import Champion
from sadcl.evaluation.gate import NotApplicable, Refusal
from sadcl.evaluation.metrics import NAMES
from sadcl.evaluation.scores import Scores

MODEL, CHAMPION = "sadcl", "champion"

TOLERANCE = 1e-6
"""Percent; how far figures in metrics.json may lie from those that the scores give."""


def verdict(
    rules: params.Gate,
    threshold: float,
    scores: Scores,
    metrics: Mapping[str, Any],
    rival: Scores,
    champion: Champion | None,
) -> dict[str, Any]:
    """The value of verdict.json.

    Args:
        rules: section gate.
        threshold: of the figures that need one.
        scores: of the model that wants to challenge.
        metrics: the value of metrics.json, which must agree with the scores.
        rival: the champion's scores on the same images, as ``rescore`` left them.
        champion: who is champion.

    Returns:
        What ``gate.judge`` returns, with ``model`` (digest of the weights), ``test`` (digest of the
        list of test images), ``champion`` (digest of its weights, or None), ``champion_version`` and
        ``threshold``.
    """
    held = gate.judge(
        rules.rules,
        _model_figures(scores, metrics, threshold),
        _champion_figures(scores, rival, champion, threshold),
    )
    return {
        **held,
        "model": scores.digests.get("weights"),
        "test": scores.digests.get("test_list"),
        "champion": champion.weights if champion else None,
        "champion_version": champion.version if champion else None,
        "threshold": threshold,
    }


def _model_figures(scores: Scores, metrics: Mapping[str, Any], threshold: float) -> gate.Figures | Refusal:
    if scores.refused is not None:
        return Refusal(scores.refused)
    if "weights" not in scores.digests or metrics.get("digests") != scores.digests:
        return Refusal("metrics.json and scores.parquet stand on different models or data; run `dvc repro evaluate`")
    saw = _saw("the model", scores.seen.get(MODEL), metrics.get("seen_in_training"))
    if saw is not None:
        return Refusal(saw)
    figures = _figures(scores, MODEL, threshold)
    return figures if isinstance(figures, Refusal) else _agreeing(figures, metrics.get(MODEL) or {})


def _agreeing(figures: gate.Figures, noted: Mapping[str, Any]) -> gate.Figures | Refusal:
    """The figures, when metrics.json has the same; a NaN is noted as null."""
    for name in NAMES:
        value, other = figures[name], noted.get(name)
        if not (abs(value - other) <= TOLERANCE if other is not None else isnan(value)):
            return Refusal(f"metrics.json says {name} {other}, but the scores give {value}; run `dvc repro evaluate`")
    return figures


def _champion_figures(
    scores: Scores, rival: Scores, champion: Champion | None, threshold: float
) -> gate.Figures | Refusal | NotApplicable:
    if champion is None:
        return NotApplicable("nobody is champion yet")
    if champion.weights == scores.digests.get("weights"):
        return NotApplicable(f"the model is the champion itself ({champion})")
    against = _against(scores, rival, champion)
    return Refusal(against) if against is not None else _figures(rival, CHAMPION, threshold)


def _against(scores: Scores, rival: Scores, champion: Champion) -> str | None:
    """What stands against comparing the two on these scores; None when nothing does."""
    if rival.refused is not None:
        return rival.refused
    if not len(rival):
        return f"{champion} is champion, but there are no scores of it; run `dvc repro rescore`"
    if rival.digests.get("weights") != champion.weights:
        return f"the champion's scores are of another model than {champion}; run `dvc repro rescore`"
    if rival.classes != scores.classes:
        return f"{champion} knows other classes than the model"
    if sorted(rival.ids) != sorted(scores.ids):
        return "the champion's scores are for other images; run `dvc repro rescore`"
    if rival.labels_digest() != scores.labels_digest():
        return "the champion's scores are for other labels of the same images; run `dvc repro rescore`"
    return _saw(f"the champion ({champion})", rival.seen.get(CHAMPION))


def _saw(who: str, *counts: int | None) -> str | None:
    """That a model saw test images in training, or that nobody knows; None when it saw none."""
    if None in counts:
        return f"nobody noted how many of the test images {who} saw in training"
    seen = max(count or 0 for count in counts)
    return f"{who} saw {seen} of the test images in training" if seen else None


def _figures(scores: Scores, name: str, threshold: float) -> gate.Figures | Refusal:
    try:
        figures = scores.figures(name, threshold)
    except SadclError as error:
        return Refusal(f"the scores of {name} cannot be evaluated: {error}")
    flat = {metric: float(figures[metric]) for metric in NAMES}  # type: ignore[literal-required]
    top3 = {f"top3.{metric}": value for metric, value in figures["top3"].items()}
    return {**flat, **top3}  # type: ignore[dict-item]
