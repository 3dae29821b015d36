"""How far data moved, and how far chance alone would have moved it; pure functions of arrays.

A distribution is kept as a few knots with the exact shares at them, and compared by the Kolmogorov-Smirnov distance:
the largest difference between the shares of photos up to some value. Everything that is said to move by chance is
what two samples of the same population exceed once in ten thousand comparisons.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, sqrt
from statistics import NormalDist

import numpy as np

CHANCE = 1e-4
"""How often chance may exceed what is said to be chance, in all tests of one kind together."""
KNOTS = 21
"""Quantiles, ends included, at which a distribution is kept: what moves between two of them may go unseen by 5 %."""


@dataclass(frozen=True)
class Distribution:
    """How numbers are spread.

    Attributes:
        count: how many there are.
        values: some of them, ascending, at most 21.
        below: share of numbers that are less than each value.
        upto: share of numbers that are at most each value.
    """

    count: int
    values: Sequence[float]
    below: Sequence[float]
    upto: Sequence[float]

    @property
    def median(self) -> float:
        """The first value that half of the numbers do not exceed; NaN without any."""
        return next((value for value, share in zip(self.values, self.upto, strict=True) if share >= 0.5), float("nan"))


def distribution(numbers: np.ndarray) -> Distribution:
    """Describe numbers [N] by their quantiles."""
    if not len(numbers):
        return Distribution(0, [], [], [])
    knots = np.unique(np.quantile(numbers, np.linspace(0, 1, KNOTS), method="inverted_cdf"))
    below, upto = _shares(numbers, knots)
    return Distribution(len(numbers), knots.tolist(), below.round(6).tolist(), upto.round(6).tolist())


def distance(before: Distribution, numbers: np.ndarray) -> float:
    """Kolmogorov-Smirnov distance of numbers [N] from a distribution, looked at in its knots: 0 to 1.

    Nothing lies apart from nothing by 0, and from anything by 1.
    """
    if not (before.count and len(numbers)):
        return float(bool(before.count) != bool(len(numbers)))
    below, upto = _shares(numbers, np.asarray(before.values, float))
    found = max(np.abs(below - before.below).max(), np.abs(upto - before.upto).max())
    return round(float(found), 5)  # shares are kept to six digits


def distance_by_chance(before: int, now: int) -> float:
    """What the distance of two samples of these sizes may be by chance (the limit law of Kolmogorov and Smirnov)."""
    return sqrt(log(2 / CHANCE) / 2 * (1 / max(before, 1) + 1 / max(now, 1)))


def shift_by_chance(
    before: np.ndarray, now: np.ndarray, counts: tuple[np.ndarray | int, np.ndarray | int], tests: int
) -> np.ndarray:
    """What the difference of two shares may be by chance (two-sided normal test with pooled shares).

    Args:
        before, now: shares [K].
        counts: what they are shares of, before and now: [K], or one number.
        tests: how many differences are looked at; chance is dealt out among them.
    """
    first, second = (np.maximum(count, 1) for count in counts)
    pooled = (before * first + now * second) / (first + second)
    deviations = NormalDist().inv_cdf(1 - CHANCE / 2 / max(tests, 1))
    return np.asarray(deviations * np.sqrt(pooled * (1 - pooled) * (1 / first + 1 / second)))


def _shares(numbers: np.ndarray, knots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    ordered = np.sort(numbers)
    below, upto = (np.searchsorted(ordered, knots, side) / len(ordered) for side in ("left", "right"))
    return below, upto
