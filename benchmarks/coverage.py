"""How often a 95 % interval of mAP holds the truth: by simulation, where the truth is known."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sadcl.evaluation.bootstrap import ap_interval, multiplicities, resampled_map
from sadcl.progress import track

TIMES, DRAWS = 2000, 400
PHOTOS, POSITIVES, CLASSES = 1000, 50, 4
"""Photos of a test split, those that show a class, classes."""
EVERYONE = 1_000_000
"""Photos by which the truth is known."""
BOUNDS = (93.0, 97.0)
SEPARATIONS = (1.5, 2.0, 3.0)
"""How far scores of positives lie above the others', in standard deviations: a poor model, a fair one, a good one."""


@dataclass(frozen=True)
class Covered:
    """What came of one kind of model.

    Attributes:
        truth: mAP on photos without end, in percent.
        ours: in percent, how often our interval holds it.
        percentile: the same of the interval that the bootstrap's quantiles make as they are.
        holds: ``ours`` keeps the bounds.
    """

    truth: float
    ours: float
    percentile: float
    holds: bool


def measure() -> list[Covered]:
    """Simulate a poor, a fair and a good model."""
    return [_covered(separation, seed) for seed, separation in enumerate(SEPARATIONS)]


def lines(found: list[Covered]) -> list[str]:
    """The table."""
    about = f"{TIMES:,} test splits of {PHOTOS:,} photos, {CLASSES} classes, about {POSITIVES} positives each"
    head = f"{'95 % intervals of mAP that hold the truth, in %':60}{'ours':>10}{'percentile':>12}"
    rows = [
        f"{f'true mAP {one.truth:.1f}':60}{one.ours:10.1f}{one.percentile:12.1f}" + ("" if one.holds else "  short")
        for one in found
    ]
    return [f"{head}   ({about})", *rows]


def _covered(separation: float, seed: int) -> Covered:
    rng = np.random.default_rng(seed)
    truth = float(resampled_map(*_photos(rng, EVERYONE, 1, separation), np.ones((EVERYONE, 1), np.uint16))[0])
    held = {"ours": 0, "percentile": 0}
    for time in track(range(TIMES), f"test splits at mAP {truth:.1f}", total=TIMES, unit="splits"):
        scores, targets = _photos(rng, PHOTOS, CLASSES, separation)
        value = float(resampled_map(scores, targets, np.ones((PHOTOS, 1), np.uint16))[0])
        draws = resampled_map(scores, targets, multiplicities(PHOTOS, DRAWS, time))
        found = ap_interval(value, draws, targets.sum(axis=0))
        low, high = np.quantile(draws, [0.025, 0.975])
        held["ours"] += found.low <= truth <= found.high
        held["percentile"] += low <= truth <= high
    ours, percentile = (100 * count / TIMES for count in held.values())
    return Covered(truth, ours, percentile, BOUNDS[0] <= ours <= BOUNDS[1])


def _photos(
    rng: np.random.Generator, photos: int, classes: int, separation: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Scores [N, C] that are normal, those of positives further up, and targets."""
    targets = rng.random((photos, classes)) < POSITIVES / PHOTOS
    return rng.standard_normal((photos, classes)) + separation * targets, targets
