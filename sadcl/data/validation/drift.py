"""Drift: distance of data from a baseline, and the part of it that chance explains; pure functions of arrays.

A distribution is stored as a few knots with exact shares at them, and compared by the Kolmogorov-Smirnov distance: the
largest difference between the shares of photos up to some value. The allowance for chance is the distance that two
samples of one population exceed once in ten thousand comparisons.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, sqrt
from statistics import NormalDist

import numpy as np

CHANCE = 1e-4
"""Probability that chance exceeds its allowance, over all tests of one kind together."""
KNOTS = 21
"""Number of quantiles, both ends included, that describe a distribution; between two of them 5 % may move unseen."""


@dataclass(frozen=True)
class Distribution:
    """Distribution of numbers, by its quantiles.

    Attributes:
        count: of the numbers.
        values: the knots, ascending, at most 21.
        below: share of numbers less than each knot.
        upto: share of numbers less than or equal to each knot.
    """

    count: int
    values: Sequence[float]
    below: Sequence[float]
    upto: Sequence[float]

    @property
    def median(self) -> float:
        """First knot that at least half of the numbers do not exceed; NaN without numbers."""
        return next((value for value, share in zip(self.values, self.upto, strict=True) if share >= 0.5), float("nan"))


def distribution(numbers: np.ndarray) -> Distribution:
    """Describe numbers [N] by their quantiles."""
    if not len(numbers):
        return Distribution(0, [], [], [])
    knots = np.unique(np.quantile(numbers, np.linspace(0, 1, KNOTS), method="inverted_cdf"))
    below, upto = _shares(numbers, knots)
    return Distribution(len(numbers), knots.tolist(), below.round(6).tolist(), upto.round(6).tolist())


def distance(before: Distribution, numbers: np.ndarray) -> float:
    """Kolmogorov-Smirnov distance of numbers [N] from a distribution at its knots, 0 to 1.

    The distance between two empty sets is 0, between an empty one and any other 1.
    """
    if not (before.count and len(numbers)):
        return float(bool(before.count) != bool(len(numbers)))
    below, upto = _shares(numbers, np.asarray(before.values, float))
    largest = max(np.abs(below - before.below).max(), np.abs(upto - before.upto).max())
    return round(float(largest), 5)  # shares are stored with six digits


def distance_by_chance(before: int, now: int) -> float:
    """Allowance for the distance of two samples of these sizes (asymptotic law of Kolmogorov and Smirnov)."""
    return sqrt(log(2 / CHANCE) / 2 * (1 / max(before, 1) + 1 / max(now, 1)))


def shift_by_chance(
    before: np.ndarray, now: np.ndarray, counts: tuple[np.ndarray | int, np.ndarray | int], tests: int
) -> np.ndarray:
    """Allowance for the difference of two shares (two-sided normal test with pooled shares, Bonferroni-corrected).

    Args:
        before, now: shares, float [K].
        counts: sample sizes before and now, [K] or one number each.
        tests: number of differences that are tested.

    Returns:
        float [K].
    """
    first, second = (np.maximum(count, 1) for count in counts)
    pooled = (before * first + now * second) / (first + second)
    deviations = NormalDist().inv_cdf(1 - CHANCE / 2 / max(tests, 1))
    return np.asarray(deviations * np.sqrt(pooled * (1 - pooled) * (1 / first + 1 / second)))


def _shares(numbers: np.ndarray, knots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shares of numbers below each knot, and up to each knot."""
    ordered = np.sort(numbers)
    below, upto = (np.searchsorted(ordered, knots, side) / len(ordered) for side in ("left", "right"))
    return below, upto
