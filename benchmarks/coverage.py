"""How often a 95 % interval holds the truth: by simulation, where the truth is known.

Of mAP both ends count. Of ECE the upper one alone, which is what the gate asks: the error of few photos lies above the
true one, and where that is near 0 no interval about it comes down so far.
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
"""Photos of a test split, those that show a class, classes."""
EVERYONE = 1_000_000
"""Photos by which the truth is known."""
BOUNDS = (93.0, 97.0)
UPPER_BOUNDS = (95.0, 100.0)
SEPARATIONS = (1.5, 2.0, 3.0)
"""How far scores of positives lie above the others', in standard deviations: a poor model, a fair one, a good one."""
OVERCONFIDENCE = (1.0, 1.3, 2.0)
"""What log-odds are multiplied by: a calibrated model, a rash one, a brazen one."""


@dataclass(frozen=True)
class Covered:
    """What came of one kind of model.

    Attributes:
        figure: mAP or ECE.
        truth: on photos without end, in percent.
        ours: in percent, how often our interval holds it (of ECE, its upper end).
        percentile: the same of the interval that the bootstrap's quantiles make as they are.
        holds: ``ours`` keeps the bounds.
    """

    figure: str
    truth: float
    ours: float
    percentile: float
    holds: bool


def measure() -> list[Covered]:
    """Simulate a poor, a fair and a good model, and ones that say too much."""
    return [
        *(_map_covered(separation, seed) for seed, separation in enumerate(SEPARATIONS)),
        *(_ece_covered(times, seed) for seed, times in enumerate(OVERCONFIDENCE)),
    ]


def lines(found: list[Covered]) -> list[str]:
    """The table."""
    about = f"{TIMES:,} test splits of {PHOTOS:,} photos, {CLASSES} classes, about {POSITIVES} positives each"
    head = f"{'95 % intervals of mAP, upper ends of ECE: right in %':60}{'ours':>10}{'percentile':>12}"
    rows = [
        f"{f'true {one.figure} {one.truth:.1f}':60}{one.ours:10.1f}{one.percentile:12.1f}"
        + ("" if one.holds else "  short")
        for one in found
    ]
    return [f"{head}   ({about})", *rows]


def _map_covered(separation: float, seed: int) -> Covered:
    rng = np.random.default_rng(seed)
    truth = float(resampled_map(*_photos(rng, EVERYONE, 1, separation), np.ones((EVERYONE, 1), np.uint16))[0])

    def held(photos: Photos, counts: NDArray[np.uint16]) -> tuple[bool, bool]:
        value, draws = _value(resampled_map, photos), resampled_map(*photos, counts)
        ours = ap_interval(value, draws, photos[1].sum(axis=0))
        low, high = np.quantile(draws, [0.025, 0.975])
        return ours.low <= truth <= ours.high, bool(low <= truth <= high)

    shares = _shares(f"mAP {truth:.1f}", lambda: _photos(rng, PHOTOS, CLASSES, separation), held)
    return Covered("mAP", truth, *shares, BOUNDS[0] <= shares[0] <= BOUNDS[1])


def _ece_covered(times: float, seed: int) -> Covered:
    rng = np.random.default_rng(seed)
    truth = _value(resampled_ece, _said(_photos(rng, EVERYONE, 1, SEPARATIONS[0]), times))

    def held(photos: Photos, counts: NDArray[np.uint16]) -> tuple[bool, bool]:
        value, draws = _value(resampled_ece, photos), resampled_ece(*photos, counts)
        return truth <= interval(value, draws, ECE_BIAS).high, bool(truth <= np.quantile(draws, 0.975))

    shares = _shares(f"ECE {truth:.1f}", lambda: _said(_photos(rng, PHOTOS, CLASSES, SEPARATIONS[0]), times), held)
    return Covered("ECE", truth, *shares, UPPER_BOUNDS[0] <= shares[0] <= UPPER_BOUNDS[1])


def _shares(
    what: str, photos: Callable[[], Photos], held: Callable[[Photos, NDArray[np.uint16]], tuple[bool, bool]]
) -> tuple[float, float]:
    """How often ours and the percentile's are right, in percent."""
    rounds = track(range(TIMES), f"test splits at {what}", total=TIMES, unit="splits")
    ours, percentile = 100 * np.mean([held(photos(), multiplicities(PHOTOS, DRAWS, time)) for time in rounds], axis=0)
    return float(ours), float(percentile)


def _value(figure: Callable[[FloatArray, NDArray[np.bool_], NDArray[np.uint16]], FloatArray], photos: Photos) -> float:
    return float(figure(*photos, np.ones((len(photos[0]), 1), np.uint16))[0])


def _photos(rng: np.random.Generator, photos: int, classes: int, separation: float) -> Photos:
    """Scores that are normal, those of positives further up, and targets."""
    targets = rng.random((photos, classes)) < POSITIVES / PHOTOS
    return rng.standard_normal((photos, classes)) + separation * targets, targets


def _said(photos: Photos, times: float) -> Photos:
    """Those scores as probabilities: right ones where ``times`` is 1."""
    scores, targets = photos
    separation, prior = SEPARATIONS[0], POSITIVES / PHOTOS
    log_odds = separation * scores - separation**2 / 2 + np.log(prior / (1 - prior))
    return 1 / (1 + np.exp(-times * log_odds)), targets
