"""What every rule of the gate is given, and what it answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sadcl.evaluation.bootstrap import ECE_BIAS, FloatArray, Interval, ap_interval, interval
from sadcl.evaluation.gate.results import NOT_APPLICABLE, REFUSED, RuleResult

LOWER_IS_BETTER = {"ECE"}
BEYOND_100 = {"robustness"}
"""Percent of something that may well grow."""


@dataclass(frozen=True)
class Refusal:
    """Figures that should be there and are not, or that nobody may trust; why, as a sentence."""

    reason: str


@dataclass(frozen=True)
class NotApplicable:
    """There is nothing to compare with, and nothing wrong; why, as a sentence."""

    reason: str


@dataclass(frozen=True)
class Sample:
    """A model's figures on the test images, and on resamples of them.

    Attributes:
        figures: by name, in percent.
        draws: the same on each resample [R].
        ap: of each class [C], percent, NaN without positives.
        ap_draws: [C, R].
        positives: test images that show each class [C].
    """

    figures: Mapping[str, float]
    draws: Mapping[str, FloatArray]
    ap: FloatArray
    ap_draws: FloatArray
    positives: NDArray[np.int64]

    def interval(self, metric: str) -> Interval:
        """A figure with its 95 % interval, which ends at 0, and at 100 where a figure does."""
        value, low, high = self._interval(metric, self.figures[metric], self.draws[metric])
        most = np.inf if metric in BEYOND_100 else 100.0
        return Interval(value, max(low, 0.0), min(high, most)) if low == low else Interval(value, low, high)

    def over(self, other: "Sample", metric: str) -> Interval:
        """How much more it is than another model's on the same images; both are resampled alike."""
        apart, draws = self.figures[metric] - other.figures[metric], self.draws[metric] - other.draws[metric]
        return self._interval(metric, apart, draws)

    def _interval(self, metric: str, value: float, draws: FloatArray) -> Interval:
        if metric == "mAP":
            return ap_interval(value, draws, self.positives)
        return interval(value, draws, bias=ECE_BIAS if metric == "ECE" else 1.0)


@dataclass(frozen=True)
class Evidence:
    """What the gate judges on; both models on the same images, resampled alike.

    Attributes:
        model: who wants to challenge.
        champion: who reigns.
        classes: names [C].
        images: N, of the test split.
        columns: values [N] of what the test images can be sliced by.
        part: both models on some of the images [N]; asked only where both are samples.
        cost: bytes and parameters of ``model`` and ``champion``, as far as they are known.
    """

    model: Sample | Refusal
    champion: Sample | Refusal | NotApplicable
    classes: tuple[str, ...]
    images: int
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    part: Callable[[NDArray[np.bool_]], tuple[Sample, Sample]] | None = None
    cost: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def compared(evidence: Evidence, what: str) -> tuple[Sample, Sample] | RuleResult:
    """Model and champion, or why ``what`` of them can't be compared."""
    model, champion = evidence.model, evidence.champion
    if not isinstance(model, Sample):
        return RuleResult(REFUSED, why_unknown("the model", model, what))
    if isinstance(champion, NotApplicable):
        return RuleResult(NOT_APPLICABLE, f"{what} is not compared with a champion: {champion.reason}.")
    if not isinstance(champion, Sample):
        return RuleResult(REFUSED, why_unknown("the champion", champion, what))
    return model, champion


def known(figures: Sample | Refusal | NotApplicable, metric: str) -> float | None:
    """A figure that is there and is a number."""
    value = figures.figures.get(metric) if isinstance(figures, Sample) else None
    return value if value is not None and isfinite(value) else None


def why_unknown(who: str, figures: Sample | Refusal | NotApplicable, metric: str) -> str:
    """Why ``known`` says None."""
    if not isinstance(figures, Sample):
        return f"{metric} cannot be judged: {figures.reason.rstrip('.')}."
    if metric not in figures.figures:
        return f"{metric} cannot be judged: nobody knows this metric; known: {', '.join(figures.figures)}."
    return f"{metric} cannot be judged: {who}'s value is {figures.figures[metric]}, which is not a number."
