"""Coverage of 95 % intervals, by simulation with known truth.

Both ends count for mAP, the upper end alone for ECE, as in the gate: the ECE of few photos lies above the true one, and
where that is near 0 no interval reaches down to it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sadcl.evaluation.bootstrap import (
    ECE_BIAS,
    FloatArray,
    ap_interval,
    interval,
    multiplicities,
    resampled_ece,
    resampled_map,
)
from sadcl.progress import track

Photos = tuple[FloatArray, NDArray[np.bool_]]
"""Scores and targets [N, C]."""

TIMES, DRAWS = 2000, 400
PHOTOS, POSITIVES, CLASSES = 1000, 50, 4
"""Photos of a test split, positives of a class, classes."""
EVERYONE = 1_000_000
"""Photos that stand for the truth."""
BOUNDS = (93.0, 97.0)
UPPER_BOUNDS = (95.0, 100.0)
SEPARATIONS = (1.5, 2.0, 3.0)
"""Distance between scores of positives and negatives, in standard deviations: a poor, a fair and a good model."""
OVERCONFIDENCE = (1.0, 1.3, 2.0)
"""Factors of the log-odds: a calibrated, an overconfident and a very overconfident model."""


@dataclass(frozen=True)
class Covered:
    """Coverage of one kind of model.

    Attributes:
        figure: mAP or ECE.
        truth: on ``EVERYONE`` photos, in percent.
        ours: coverage of sadcl's interval (for ECE, of its upper end), in percent.
        percentile: coverage of the percentile interval, in percent.
        holds: whether ``ours`` lies within the bounds.
    """

    figure: str
    truth: float
    ours: float
    percentile: float
    holds: bool


def measure() -> list[Covered]:
    """Simulate a poor, a fair and a good model, and overconfident ones."""
    return [
        *(_map_covered(separation, seed) for seed, separation in enumerate(SEPARATIONS)),
        *(_ece_covered(times, seed) for seed, times in enumerate(OVERCONFIDENCE)),
    ]


def lines(coverages: list[Covered]) -> list[str]:
    """Format the table."""
    about = f"{TIMES:,} test splits of {PHOTOS:,} photos, {CLASSES} classes, about {POSITIVES} positives each"
    head = f"{'95 % intervals of mAP, upper ends of ECE: right in %':60}{'ours':>10}{'percentile':>12}"
    rows = [
        f"{f'true {row.figure} {row.truth:.1f}':60}{row.ours:10.1f}{row.percentile:12.1f}"
        + ("" if row.holds else "  short")
        for row in coverages
    ]
    return [f"{head}   ({about})", *rows]


def _map_covered(separation: float, seed: int) -> Covered:
    rng = np.random.default_rng(seed)
    truth = float(resampled_map(*_photos(rng, EVERYONE, 1, separation), np.ones((EVERYONE, 1), np.uint16))[0])

    def covers(photos: Photos, counts: NDArray[np.uint16]) -> tuple[bool, bool]:
        value, draws = _value(resampled_map, photos), resampled_map(*photos, counts)
        basic = ap_interval(value, draws, photos[1].sum(axis=0))
        low, high = np.quantile(draws, [0.025, 0.975])
        return basic.low <= truth <= basic.high, bool(low <= truth <= high)

    shares = _shares(f"mAP {truth:.1f}", lambda: _photos(rng, PHOTOS, CLASSES, separation), covers)
    return Covered("mAP", truth, *shares, BOUNDS[0] <= shares[0] <= BOUNDS[1])


def _ece_covered(times: float, seed: int) -> Covered:
    rng = np.random.default_rng(seed)
    truth = _value(resampled_ece, _probabilities(_photos(rng, EVERYONE, 1, SEPARATIONS[0]), times))

    def covers(photos: Photos, counts: NDArray[np.uint16]) -> tuple[bool, bool]:
        value, draws = _value(resampled_ece, photos), resampled_ece(*photos, counts)
        return truth <= interval(value, draws, ECE_BIAS).high, bool(truth <= np.quantile(draws, 0.975))

    shares = _shares(
        f"ECE {truth:.1f}", lambda: _probabilities(_photos(rng, PHOTOS, CLASSES, SEPARATIONS[0]), times), covers
    )
    return Covered("ECE", truth, *shares, UPPER_BOUNDS[0] <= shares[0] <= UPPER_BOUNDS[1])


def _shares(
    label: str, photos: Callable[[], Photos], covers: Callable[[Photos, NDArray[np.uint16]], tuple[bool, bool]]
) -> tuple[float, float]:
    """Coverage of sadcl's and of the percentile interval, in percent."""
    rounds = track(range(TIMES), f"test splits at {label}", total=TIMES, unit="splits")
    hits = [covers(photos(), multiplicities(PHOTOS, DRAWS, seed)) for seed in rounds]
    basic, percentile = 100 * np.mean(hits, axis=0)
    return float(basic), float(percentile)


def _value(figure: Callable[[FloatArray, NDArray[np.bool_], NDArray[np.uint16]], FloatArray], photos: Photos) -> float:
    return float(figure(*photos, np.ones((len(photos[0]), 1), np.uint16))[0])


def _photos(rng: np.random.Generator, photos: int, classes: int, separation: float) -> Photos:
    """Draw normal scores, shifted up for positives, and targets."""
    targets = rng.random((photos, classes)) < POSITIVES / PHOTOS
    return rng.standard_normal((photos, classes)) + separation * targets, targets


def _probabilities(photos: Photos, times: float) -> Photos:
    """Convert scores to probabilities, calibrated where ``times`` is 1."""
    scores, targets = photos
    separation, prior = SEPARATIONS[0], POSITIVES / PHOTOS
    log_odds = separation * scores - separation**2 / 2 + np.log(prior / (1 - prior))
    return 1 / (1 + np.exp(-times * log_odds)), targets
