"""The verdict: metrics of model and champion, computed from their scores on the same images, and judged.

Whatever forbids a comparison becomes a refusal with its reason, never an exception and never a number.
"""

from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sadcl import files, params
from sadcl.errors import SadclError
from sadcl.evaluation.bootstrap import (
    Counts,
    FloatArray,
    Interval,
    Progress,
    mean_known,
    multiplicities,
    resampled,
    resampled_ap,
    resampled_map,
)
from sadcl.evaluation.gate import judge
from sadcl.evaluation.gate.champion import Champion
from sadcl.evaluation.gate.evidence import Evidence, NotApplicable, Refusal, Sample
from sadcl.evaluation.metrics import NAMES, evaluate
from sadcl.evaluation.scores import Scores

MODEL, CHAMPION, PROBE = "sadcl", "champion", "probe"

IN_USE = ("in_use.CF1", "in_use.OF1")
"""Metrics of the model's labels in use, by its own calibration and thresholds."""
TOLERANCE = 1e-6
"""Largest difference, in percent, between metrics.json and metrics computed from the scores."""
MOST = 5
"""Number of labels of a photo from which slices no longer distinguish."""
DRAWS, SEED = 1000, 2307
"""Number and seed of the resamples, fixed: everyone who judges the same scores must get the same verdict."""


def verdict(
    rules: params.Gate,
    threshold: float,
    scores: Scores,
    metrics: Mapping[str, Any],
    rival: Scores,
    champion: Champion | None,
    progress: Progress = iter,
) -> dict[str, Any]:
    """Compute the value of verdict.json; equal arguments give equal values.

    Args:
        rules: section gate.
        threshold: of precision, recall and F1.
        scores: of the candidate.
        metrics: the value of metrics.json, which must agree with the scores.
        rival: the champion's scores on the same images, from stage ``rescore``.
        champion: its record; None without a champion.
        progress: wraps loops over classes.

    Returns:
        ``verdict``, ``words`` and ``rules`` from ``judge``; ``model`` (digest of the weights), ``test`` (digest of the
        list of test images), ``digests`` (of everything that the scores depend on), ``settings`` (digest of rules and
        threshold), ``champion`` (digest of its weights, or None), ``champion_version``, ``threshold``, ``draws``
        (number of resamples) and ``intervals``: by metric, value and 95 % interval of ``model``, ``champion`` and their
        ``difference``, each None where it is unknown; ``probe``: value and interval of mAP of the linear ``probe``, and
        the model's ``difference`` from it, None where the scores have no probe.

    Raises:
        SadclError: there are no scores of test images.
    """
    evidence = _evidence(scores, metrics, rival, champion, threshold, progress)
    return {
        **judge.judge(rules.rules, evidence),
        "model": scores.digests.get("weights"),
        "test": scores.digests.get("test_list"),
        "digests": scores.digests,
        "settings": settings_digest(rules, threshold),
        "champion": champion.weights if champion else None,
        "champion_version": champion.version if champion else None,
        "threshold": threshold,
        "draws": DRAWS,
        "intervals": {name: _intervals(evidence, name) for name in (*NAMES, *IN_USE, "ECE")},
        "probe": _over_probe(evidence),
    }


def settings_digest(rules: params.Gate, threshold: float) -> str:
    """Digest of a verdict's settings: all of section gate, and the threshold of the metrics."""
    return files.digest_of([rules.model_dump(mode="json"), threshold])


def _evidence(
    scores: Scores,
    metrics: Mapping[str, Any],
    rival: Scores,
    champion: Champion | None,
    threshold: float,
    progress: Progress,
) -> Evidence:
    """Compute metrics and resamples of both models on the images of the candidate's scores."""
    if not len(scores):
        raise SadclError("There are no scores of test images to judge", fix="Run `dvc repro evaluate`")
    counts = multiplicities(len(scores), DRAWS, SEED)  # one set for both models, so that differences are paired
    refusal = _model_objection(scores, metrics)
    model = Refusal(refusal) if refusal is not None else _sample(scores, MODEL, threshold, counts, progress)
    if isinstance(model, Sample):
        # after the sample: the figures come from the scores, metrics.json is only compared with them
        model = _agreeing(model, metrics.get(MODEL) or {})
    baseline: Sample | Refusal | NotApplicable | None = _no_comparison(scores, rival, champion)
    if baseline is None:
        rival = rival.part(rival.ids.rows_of(scores.ids))  # resamples count by position
        baseline = _sample(rival, CHAMPION, threshold, counts, progress)

    def part(rows: NDArray[np.bool_]) -> tuple[Sample, Sample]:
        # the same resamples, restricted to a slice: its size varies between draws, as it would with other photos
        selected, drawn = np.flatnonzero(rows), counts[rows]
        return (
            _sampled(scores.part(selected), MODEL, threshold, drawn, progress),
            _sampled(rival.part(selected), CHAMPION, threshold, drawn, progress),
        )

    cost = {"model": scores.cost.get(MODEL, {}), "champion": rival.cost.get(CHAMPION, {})}
    # where the probe is the model, there is nothing to compare
    is_other = PROBE in scores.logits and not np.array_equal(scores.logits[PROBE], scores.logits[MODEL])
    probe = _probe(scores, counts, progress) if is_other else None
    return Evidence(model, baseline, scores.classes, len(scores), columns(scores), part, cost, probe)


def _probe(scores: Scores, counts: Counts, progress: Progress) -> Sample | Refusal:
    """Compute the linear probe's mAP on the images, and on resamples of them [N, R]."""
    leak = _leak("the linear probe", scores.training_overlap.get(PROBE))
    if leak is not None:
        return Refusal(leak)
    try:
        figures = evaluate(scores.probabilities(PROBE), scores.targets, scores.ignored)
        ap = resampled_ap(scores.probabilities(PROBE), scores.targets, counts, scores.ignored, progress)
    except SadclError as error:
        return Refusal(f"the scores of the linear probe cannot be evaluated: {error}")
    positives = (scores.targets & ~scores.ignored).sum(axis=0)
    return Sample({"mAP": float(figures["mAP"])}, {"mAP": mean_known(ap)}, figures["AP"], ap, positives)


def _over_probe(evidence: Evidence) -> dict[str, list[float] | None] | None:
    model, probe = evidence.model, evidence.probe
    if not isinstance(probe, Sample):
        return None
    difference = model.over(probe, "mAP") if isinstance(model, Sample) else None
    return {"probe": _numbers(probe.interval("mAP")), "difference": _numbers(difference)}


def columns(scores: Scores) -> dict[str, Sequence[Any]]:
    """Values [N] of each slice column: those of the data source, and the number of labels of a photo."""
    labels = (scores.targets & ~scores.ignored).sum(axis=1)
    return {**scores.slices, "labels": [str(n) if n < MOST else f"{MOST} or more" for n in labels]}


def _intervals(evidence: Evidence, metric: str) -> dict[str, list[float] | None]:
    model, champion = evidence.model, evidence.champion
    intervals = {}
    if isinstance(model, Sample):
        intervals["model"] = model.interval(metric)
    if isinstance(champion, Sample):
        intervals["champion"] = champion.interval(metric)
    if isinstance(model, Sample) and isinstance(champion, Sample):
        intervals["difference"] = model.over(champion, metric)
    return {name: _numbers(intervals.get(name)) for name in ("model", "champion", "difference")}


def _numbers(value: Interval | None) -> list[float] | None:
    return None if value is None or not np.isfinite(value).all() else [float(part) for part in value]


def _model_objection(scores: Scores, metrics: Mapping[str, Any]) -> str | None:
    """Reason not to trust the candidate's scores; None where there is none."""
    if scores.refused is not None:
        return scores.refused
    # two files: one of them may be left from an earlier model
    if "weights" not in scores.digests or metrics.get("digests") != scores.digests:
        return "metrics.json and scores.parquet come from different models or data; run `dvc repro evaluate`"
    # both counts: the larger one decides, and neither may be missing
    return _leak("the model", scores.training_overlap.get(MODEL), metrics.get("seen_in_training"))


def _agreeing(sample: Sample, noted: Mapping[str, Any]) -> Sample | Refusal:
    """Return the sample, or a refusal where metrics.json has other numbers (null for NaN).

    metrics.json is a small text file that people read and edit; the verdict must not rest on it.
    """
    recorded = {**noted, **{f"in_use.{name}": value for name, value in noted.get("in_use", {}).items()}}
    recorded["robustness"] = noted.get("robustness", {}).get("kept")
    # only where metrics.json has them: a set without labels has no ECE, and robustness needs corruptions
    optional = [name for name in ("ECE", "robustness") if name in sample.figures and recorded.get(name) is not None]
    for name in (*NAMES, *optional, *(name for name in recorded if name.startswith("in_use."))):
        value, record = sample.figures[name], recorded.get(name)
        # `not <=`, since a NaN must not agree with a number
        if not (abs(value - record) <= TOLERANCE if record is not None else isnan(value)):
            return Refusal(f"metrics.json says {name} {record}, but the scores give {value}; run `dvc repro evaluate`")
    return sample


def _no_comparison(scores: Scores, rival: Scores, champion: Champion | None) -> Refusal | NotApplicable | None:
    """Reason why model and champion are not compared; None where they can be."""
    if champion is None:
        return NotApplicable("there is no champion yet")
    # otherwise every difference is 0, and the champion would pass against itself
    if champion.weights == scores.digests.get("weights"):
        return NotApplicable(f"the model is the champion itself ({champion})")
    objection = _champion_objection(scores, rival, champion)
    return None if objection is None else Refusal(objection)


def _champion_objection(scores: Scores, rival: Scores, champion: Champion) -> str | None:
    """Reason why the champion's scores can't be compared with the candidate's; None where there is none."""
    if rival.refused is not None:
        return rival.refused
    if not len(rival):
        return f"{champion} is champion, but has no scores; run `dvc repro rescore`"
    # left from an earlier champion, or exchanged: champion.json says which weights a person accepted
    if rival.digests.get("weights") != champion.weights:
        return f"the champion's scores are of another model than {champion}; run `dvc repro rescore`"
    if rival.classes != scores.classes:
        return f"{champion} has other classes than the model"
    # in any order: the caller aligns the rows
    if sorted(rival.ids) != sorted(scores.ids):
        return "the champion's scores are for other images; run `dvc repro rescore`"
    # equal photos are not enough: corrected labels move the figures of both models
    if rival.labels_digest() != scores.labels_digest():
        return "the champion's scores are for other labels of the same images; run `dvc repro rescore`"
    if set(rival.corrupted(CHAMPION)) != set(scores.corrupted(MODEL)):
        return "the champion was scored with other corruptions; run `dvc repro rescore`"
    return _leak(f"the champion ({champion})", rival.training_overlap.get(CHAMPION))


def _leak(owner: str, *counts: int | None) -> str | None:
    """Report test images in a model's training, or an unknown number of them; None where there are none."""
    # unknown is not zero
    if None in counts:
        return f"it is not recorded how many of the test images {owner} saw in training"
    leaked = max(count or 0 for count in counts)
    return f"{owner} saw {leaked} of the test images in training" if leaked else None


def _sample(scores: Scores, name: str, threshold: float, counts: Counts, progress: Progress) -> Sample | Refusal:
    try:
        return _sampled(scores, name, threshold, counts, progress)
    # a NaN among the scores, for example: refused as a rule's result, so that the verdict is written and read
    except SadclError as error:
        return Refusal(f"the scores of {name} cannot be evaluated: {error}")


def _sampled(scores: Scores, name: str, threshold: float, counts: Counts, progress: Progress) -> Sample:
    """Compute a model's metrics on the images, and on resamples of them [N, R]."""
    figures = scores.figures(name, threshold)
    flat = {metric: float(figures[metric]) for metric in NAMES}  # type: ignore[literal-required]
    groups = {"top3": figures["top3"], "in_use": scores.figures_in_use(name)}
    grouped = {f"{group}.{metric}": float(value) for group in groups for metric, value in groups[group].items()}  # type: ignore[arg-type]
    drawn = resampled(
        scores.probabilities(name), scores.targets, counts, scores.ignored, threshold, scores.in_use(name), progress
    )
    positives = (scores.targets & ~scores.ignored).sum(axis=0)
    error = scores.calibration_error(name)
    every, draws = {**flat, **grouped, "ECE": np.nan if error is None else error}, dict(drawn.figures)
    if scores.corrupted(name):
        every["robustness"] = scores.robustness(name)["kept"]
        draws["robustness"] = _robustness(scores, name, counts, draws["mAP"], progress)
    return Sample(every, draws, figures["AP"], drawn.ap, positives)


def _robustness(scores: Scores, name: str, counts: Counts, clean: FloatArray, progress: Progress) -> FloatArray:
    """Mean mAP on corrupted photos relative to clean ones, in percent, on each resample [R]."""
    keys = scores.corrupted(name).values()
    maps = [resampled_map(scores.probabilities(key), scores.targets, counts, scores.ignored, progress) for key in keys]
    # equal draws in numerator and denominator: a draw of easy photos raises both
    return np.asarray(100 * np.mean(maps, axis=0) / clean)
