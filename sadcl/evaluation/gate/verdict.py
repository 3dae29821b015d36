"""From scores files to the gate: figures of model and champion, computed anew on the same images.

Whatever stands against a comparison becomes a refusal with its reason, never an exception and never
a figure.
"""

from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sadcl import files, params
from sadcl.errors import SadclError
from sadcl.evaluation.bootstrap import Counts, FloatArray, Interval, multiplicities, resampled, resampled_map
from sadcl.evaluation.gate import judge
from sadcl.evaluation.gate.champion import Champion
from sadcl.evaluation.gate.evidence import Evidence, NotApplicable, Refusal, Sample
from sadcl.evaluation.metrics import NAMES
from sadcl.evaluation.scores import Scores

MODEL, CHAMPION = "sadcl", "champion"

IN_USE = ("in_use.CF1", "in_use.OF1")
"""Of the labels as the model gives them, by its own calibration and thresholds."""
TOLERANCE = 1e-6
"""Percent; how far figures in metrics.json may lie from those that the scores give."""
MOST = 5
"""Labels a photo, from which on slices do not tell how many."""
DRAWS, SEED = 1000, 2307
"""Resamples of the test images: the same for everybody who judges the same scores."""


def verdict(
    rules: params.Gate,
    threshold: float,
    scores: Scores,
    metrics: Mapping[str, Any],
    rival: Scores,
    champion: Champion | None,
) -> dict[str, Any]:
    """The value of verdict.json; the same arguments give the same value.

    Args:
        rules: section gate.
        threshold: of the figures that need one.
        scores: of the model that wants to challenge.
        metrics: the value of metrics.json, which must agree with the scores.
        rival: the champion's scores on the same images, as ``rescore`` left them.
        champion: who is champion.

    Returns:
        What ``gate.judge`` returns, with ``model`` (digest of the weights), ``test`` (digest of the
        list of test images), ``digests`` (of all that the scores stand on), ``settings`` (digest of what was asked),
        ``champion`` (digest of its weights, or None), ``champion_version``, ``threshold``,
        ``draws`` (how many resamples) and ``intervals``: by metric, the 95 % interval of ``model``, ``champion`` and
        their ``difference``, each None where it is not known.
    """
    evidence = _evidence(scores, metrics, rival, champion, threshold)
    held = judge.judge(rules.rules, evidence)
    return {
        **held,
        "model": scores.digests.get("weights"),
        "test": scores.digests.get("test_list"),
        "digests": scores.digests,
        "settings": settings_digest(rules, threshold),
        "champion": champion.weights if champion else None,
        "champion_version": champion.version if champion else None,
        "threshold": threshold,
        "draws": DRAWS,
        "intervals": {name: _intervals(evidence, name) for name in (*NAMES, *IN_USE, "ECE")},
    }


def settings_digest(rules: params.Gate, threshold: float) -> str:
    """Of what a verdict was asked: all of section gate, and the threshold of the figures."""
    return files.digest_of([rules.model_dump(mode="json"), threshold])


def _evidence(
    scores: Scores, metrics: Mapping[str, Any], rival: Scores, champion: Champion | None, threshold: float
) -> Evidence:
    if not len(scores):
        raise SadclError("There are no scores of test images to judge on", fix="Run `dvc repro evaluate`")
    counts = multiplicities(len(scores), DRAWS, SEED)
    refusal = _against_model(scores, metrics)
    model = Refusal(refusal) if refusal is not None else _sample(scores, MODEL, threshold, counts)
    if isinstance(model, Sample):
        model = _agreeing(model, metrics.get(MODEL) or {})
    reigning: Sample | Refusal | NotApplicable | None = _no_comparison(scores, rival, champion)
    if reigning is None:
        place = {name: i for i, name in enumerate(rival.ids)}
        rival = rival.part(np.array([place[name] for name in scores.ids]))
        reigning = _sample(rival, CHAMPION, threshold, counts)

    def part(rows: NDArray[np.bool_]) -> tuple[Sample, Sample]:
        some, drawn = np.flatnonzero(rows), counts[rows]
        return (
            _sampled(scores.part(some), MODEL, threshold, drawn),
            _sampled(rival.part(some), CHAMPION, threshold, drawn),
        )

    cost = {"model": scores.cost.get(MODEL, {}), "champion": rival.cost.get(CHAMPION, {})}
    return Evidence(model, reigning, scores.classes, len(scores), columns(scores), part, cost)


def columns(scores: Scores) -> dict[str, Sequence[Any]]:
    """Values [N] of all that the images can be sliced by: the source's columns, and how many labels a photo has."""
    labels = (scores.targets & ~scores.ignored).sum(axis=1)
    return {**scores.slices, "labels": [str(n) if n < MOST else f"{MOST} or more" for n in labels]}


def _intervals(evidence: Evidence, metric: str) -> dict[str, list[float] | None]:
    model, champion = evidence.model, evidence.champion
    found = {}
    if isinstance(model, Sample):
        found["model"] = model.interval(metric)
    if isinstance(champion, Sample):
        found["champion"] = champion.interval(metric)
    if isinstance(model, Sample) and isinstance(champion, Sample):
        found["difference"] = model.over(champion, metric)
    return {name: _numbers(found.get(name)) for name in ("model", "champion", "difference")}


def _numbers(value: Interval | None) -> list[float] | None:
    return None if value is None or not np.isfinite(value).all() else [float(part) for part in value]


def _against_model(scores: Scores, metrics: Mapping[str, Any]) -> str | None:
    """What stands against trusting these scores; None when nothing does."""
    if scores.refused is not None:
        return scores.refused
    if "weights" not in scores.digests or metrics.get("digests") != scores.digests:
        return "metrics.json and scores.parquet stand on different models or data; run `dvc repro evaluate`"
    return _saw("the model", scores.seen.get(MODEL), metrics.get("seen_in_training"))


def _agreeing(sample: Sample, noted: Mapping[str, Any]) -> Sample | Refusal:
    """The sample, when metrics.json has the same figures; a NaN is noted as null."""
    said = {**noted, **{f"in_use.{name}": value for name, value in noted.get("in_use", {}).items()}}
    said["robustness"] = noted.get("robustness", {}).get("kept")
    held = [name for name in ("ECE", "robustness") if name in sample.figures and said.get(name) is not None]
    for name in (*NAMES, *held, *(name for name in said if name.startswith("in_use."))):
        value, other = sample.figures[name], said.get(name)
        if not (abs(value - other) <= TOLERANCE if other is not None else isnan(value)):
            return Refusal(f"metrics.json says {name} {other}, but the scores give {value}; run `dvc repro evaluate`")
    return sample


def _no_comparison(scores: Scores, rival: Scores, champion: Champion | None) -> Refusal | NotApplicable | None:
    if champion is None:
        return NotApplicable("nobody is champion yet")
    if champion.weights == scores.digests.get("weights"):
        return NotApplicable(f"the model is the champion itself ({champion})")
    against = _against(scores, rival, champion)
    return None if against is None else Refusal(against)


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
    if set(rival.corrupted(CHAMPION)) != set(scores.corrupted(MODEL)):
        return "the champion was scored on otherwise corrupted images; run `dvc repro rescore`"
    return _saw(f"the champion ({champion})", rival.seen.get(CHAMPION))


def _saw(who: str, *counts: int | None) -> str | None:
    """That a model saw test images in training, or that nobody knows; None when it saw none."""
    if None in counts:
        return f"nobody noted how many of the test images {who} saw in training"
    seen = max(count or 0 for count in counts)
    return f"{who} saw {seen} of the test images in training" if seen else None


def _sample(scores: Scores, name: str, threshold: float, counts: Counts) -> Sample | Refusal:
    try:
        return _sampled(scores, name, threshold, counts)
    except SadclError as error:
        return Refusal(f"the scores of {name} cannot be evaluated: {error}")


def _sampled(scores: Scores, name: str, threshold: float, counts: Counts) -> Sample:
    """A model on the images, and on resamples of them [N, R]."""
    figures = scores.figures(name, threshold)
    flat = {metric: float(figures[metric]) for metric in NAMES}  # type: ignore[literal-required]
    groups = {"top3": figures["top3"], "in_use": scores.figures_in_use(name)}
    grouped = {f"{group}.{metric}": float(value) for group in groups for metric, value in groups[group].items()}  # type: ignore[arg-type]
    drawn = resampled(
        scores.probabilities(name), scores.targets, counts, scores.ignored, threshold, scores.in_use(name)
    )
    positives = (scores.targets & ~scores.ignored).sum(axis=0)
    error = scores.calibration_error(name)
    every, draws = {**flat, **grouped, "ECE": np.nan if error is None else error}, dict(drawn.figures)
    if scores.corrupted(name):
        every["robustness"] = scores.robustness(name)["kept"]
        draws["robustness"] = _kept(scores, name, counts, draws["mAP"])
    return Sample(every, draws, figures["AP"], drawn.ap, positives)


def _kept(scores: Scores, name: str, counts: Counts, clean: FloatArray) -> FloatArray:
    """Percent of mAP that is kept on corrupted photos, the mean over the corruptions, on each resample [R]."""
    keys = scores.corrupted(name).values()
    maps = [resampled_map(scores.probabilities(key), scores.targets, counts, scores.ignored) for key in keys]
    return np.asarray(100 * np.mean(maps, axis=0) / clean)
