"""Evidence for the gate's rules: metrics of model and champion, with resamples, or reasons why there are none."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sadcl.evaluation.bootstrap import ECE_BIAS, FloatArray, Interval, ap_interval, interval
from sadcl.evaluation.gate.results import NOT_APPLICABLE, REFUSED, RuleResult

LOWER_IS_BETTER = {"ECE"}
# mAP on spoilt photos may by chance lie above that on clean ones
BEYOND_100 = {"robustness"}
"""Metrics that may exceed 100 %."""


@dataclass(frozen=True)
class Refusal:
    """Metrics that are missing or can't be trusted, with the reason as a sentence."""

    reason: str


@dataclass(frozen=True)
class NotApplicable:
    """Nothing to compare with, which is no error, with the reason as a sentence."""

    reason: str


@dataclass(frozen=True)
class Sample:
    """A model's metrics on the test images, and on resamples of them.

    Attributes:
        figures: metrics by name, in percent.
        draws: metrics by name on each resample [R], in percent.
        ap: AP of each class [C], percent; NaN without positives.
        ap_draws: AP of each class on each resample [C, R], percent.
        positives: number of test images with each class [C].
    """

    figures: Mapping[str, float]
    draws: Mapping[str, FloatArray]
    ap: FloatArray
    ap_draws: FloatArray
    positives: NDArray[np.int64]

    def interval(self, metric: str) -> Interval:
        """Compute a metric's 95 % interval, clipped to the metric's range."""
        value, low, high = self._interval(metric, self.figures[metric], self.draws[metric])
        most = np.inf if metric in BEYOND_100 else 100.0
        # the basic bootstrap can leave the range; a NaN (no resample has the metric) stays one
        return Interval(value, max(low, 0.0), min(high, most)) if low == low else Interval(value, low, high)

    def over(self, champion: "Sample", metric: str) -> Interval:
        """Compute the difference from the champion's metric, with its 95 % interval; resamples are paired."""
        # draw by draw: photos that both models find hard are no noise of the difference. Its range is not that of the
        # metric, so nothing is clipped.
        difference = self.figures[metric] - champion.figures[metric]
        return self._interval(metric, difference, self.draws[metric] - champion.draws[metric])

    def _interval(self, metric: str, value: float, draws: FloatArray) -> Interval:
        if metric == "mAP":
            return ap_interval(value, draws, self.positives)
        # b of equation (1) in docs/explanation/gate.md
        return interval(value, draws, bias=ECE_BIAS if metric == "ECE" else 1.0)


@dataclass(frozen=True)
class Evidence:
    """All that the gate judges by; both models are on the same images, with the same resamples.

    Attributes:
        model: the candidate.
        champion: the present champion.
        classes: names [C].
        images: N, number of test images.
        columns: values [N] of each slice column.
        part: computes both models on a mask of the images [N]; called only where both are samples.
        cost: bytes and parameters of ``model`` and ``champion``, as far as recorded.
        probe: a linear probe on the same backbone, of which mAP alone is known; None where the scores have none.
    """

    model: Sample | Refusal
    champion: Sample | Refusal | NotApplicable
    classes: tuple[str, ...]
    images: int
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    part: Callable[[NDArray[np.bool_]], tuple[Sample, Sample]] | None = None
    cost: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    probe: Sample | Refusal | None = None


def compared(evidence: Evidence, subject: str) -> tuple[Sample, Sample] | RuleResult:
    """Return model and champion, or the result of a rule whose ``subject`` can't be compared."""
    model, champion = evidence.model, evidence.champion
    if not isinstance(model, Sample):
        # before the champion: without one, a rule about a model that can't be trusted would not be applicable
        return RuleResult(REFUSED, why_unknown("the model", model, subject))
    if isinstance(champion, NotApplicable):
        return RuleResult(NOT_APPLICABLE, f"{subject} is not compared with a champion: {champion.reason}.")
    if not isinstance(champion, Sample):
        return RuleResult(REFUSED, why_unknown("the champion", champion, subject))
    return model, champion


def known(figures: Sample | Refusal | NotApplicable, metric: str) -> float | None:
    """Look up a metric; None where it is missing or not finite."""
    value = figures.figures.get(metric) if isinstance(figures, Sample) else None
    # a NaN is neither below nor above a bound, so no comparison would refuse it
    return value if value is not None and isfinite(value) else None


def why_unknown(owner: str, figures: Sample | Refusal | NotApplicable, metric: str) -> str:
    """Explain in a sentence why a metric is missing or not finite.

    Args:
        owner: "the model" or "the champion".
        figures: of this model.
        metric: name, or another subject of a rule.
    """
    if not isinstance(figures, Sample):
        return f"{metric} cannot be judged: {figures.reason.rstrip('.')}."
    if metric not in figures.figures:
        return f"{metric} cannot be judged: there is no such metric, only {', '.join(figures.figures)}."
    return f"{metric} cannot be judged: {owner}'s value is {figures.figures[metric]}, which is not a number."
