"""Coverage of 95 % intervals, by simulation with known truth.

Both ends count for mAP and for the difference of two models' mAP on the same photos; for ECE the upper end alone, as in
the gate: the ECE of few photos lies above the true one, and where that is near 0 no interval reaches down to it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.cell_figures import read_class_counts
from benchmarks.comparison import CELLS
from benchmarks.paired_bootstrap import paired
from sadcl.evaluation.bootstrap import (
    ECE_BIAS,
    Counts,
    FloatArray,
    Interval,
    ap_interval,
    interval,
    multiplicities,
    resampled_ece,
    resampled_map,
)
from sadcl.progress import track

Photos = tuple[FloatArray, NDArray[np.bool_]]
"""Scores and targets [N, C]."""

Pair = tuple[FloatArray, FloatArray, NDArray[np.bool_]]
"""Scores of two models and their common targets [N, C]."""

TIMES, DRAWS = 2000, 400
PHOTOS, POSITIVES, CLASSES = 1000, 50, 4
"""Photos of a test split, positives of a class, classes."""
EVERYONE = 1_000_000
"""Photos that stand for the truth."""
BOUNDS = (93.0, 97.0)
UPPER_BOUNDS = (95.0, 100.0)
SEPARATIONS = (1.5, 2.0, 3.0)
"""Distance between scores of positives and negatives, in standard deviations: a poor, a fair and a good model."""
PAIRS = ((1.5, 1.5), (2.0, 2.1), (3.0, 2.9))
"""Separations of a model and of the champion."""
CORRELATION = 0.8
"""Of two models' scores of a photo, beyond what its labels explain."""
ROWS, ROWS_CORRELATION, ROWS_TIMES = (2.0, 2.0), 0.95, 500
ROWS_PHOTOS = 922
"""Two equal rows of the comparison on coco-mini; its 80 classes have 15 positives each (harmonic mean)."""
OVERCONFIDENCE = (1.0, 1.3, 2.0)
"""Factors of the log-odds: a calibrated, an overconfident and a very overconfident model."""


@dataclass(frozen=True)
class Covered:
    """Coverage of one kind of model.

    Attributes:
        figure: mAP, mAP difference or ECE.
        truth: on ``EVERYONE`` photos, in percent.
        in_use: coverage of the gate's interval or of that of the comparison's pages (for ECE, of its upper end), in
            percent.
        basic: coverage of the basic bootstrap's interval without corrections, likewise.
        percentile: coverage of the percentile interval, likewise.
        holds: whether ``in_use`` lies within the bounds.
    """

    figure: str
    truth: float
    in_use: float
    basic: float
    percentile: float
    holds: bool


def measure() -> list[Covered]:
    """Simulate a poor, a fair and a good model, pairs of models, and overconfident models."""
    return [
        *(_map_covered(separation, seed) for seed, separation in enumerate(SEPARATIONS)),
        *(_difference_covered(separations, seed) for seed, separations in enumerate(PAIRS)),
        _comparison_covered(),
        *(_ece_covered(times, seed) for seed, times in enumerate(OVERCONFIDENCE)),
    ]


def lines(coverages: list[Covered]) -> list[str]:
    """Format the table."""
    about = f"{TIMES:,} test splits of {PHOTOS:,} photos, {CLASSES} classes, about {POSITIVES} positives each"
    subject = "95 % intervals of mAP and differences, upper ends of ECE: right in %"
    head = f"{subject:68}{'in use':>8}{'basic':>8}{'percentile':>12}"
    rows = [
        f"{f'true {row.figure} {row.truth:.1f}':68}{row.in_use:8.1f}{row.basic:8.1f}{row.percentile:12.1f}"
        + ("" if row.holds else "  short")
        for row in coverages
    ]
    return [f"{head}   ({about})", *rows]


def _map_covered(separation: float, seed: int) -> Covered:
    rng = np.random.default_rng(seed)
    truth = _value(resampled_map, _photos(rng, EVERYONE, 1, separation))
    return _covered("mAP", truth, lambda: _photos(rng, PHOTOS, CLASSES, separation), resampled_map, _gate_interval)


def _difference_covered(separations: tuple[float, float], seed: int) -> Covered:
    """Cover the difference of a model from the champion."""
    rng, rates = np.random.default_rng(seed), np.full(CLASSES, POSITIVES / PHOTOS)
    truth = _value(_resampled_difference, _two_models(rng, EVERYONE, rates[:1], separations, CORRELATION))
    return _covered(
        "mAP difference", truth, lambda: _two_models(rng, PHOTOS, rates, separations, CORRELATION),
        _resampled_difference, _gate_interval,
    )  # fmt: skip


def _comparison_covered() -> Covered:
    """Cover the difference of two equal rows of the comparison, which is 0, by its pages' interval."""
    rates, rng = read_class_counts(CELLS / "classes.json").test / ROWS_PHOTOS, np.random.default_rng(0)
    return _covered(
        "mAP difference of rows", 0.0, lambda: _two_models(rng, ROWS_PHOTOS, rates, ROWS, ROWS_CORRELATION),
        _resampled_difference, _pages_interval, times=ROWS_TIMES,
    )  # fmt: skip


def _ece_covered(times: float, seed: int) -> Covered:
    rng = np.random.default_rng(seed)
    truth = _value(resampled_ece, _probabilities(_photos(rng, EVERYONE, 1, SEPARATIONS[0]), times))
    return _covered(
        "ECE", truth, lambda: _probabilities(_photos(rng, PHOTOS, CLASSES, SEPARATIONS[0]), times), resampled_ece,
        lambda value, draws, _: interval(value, draws, ECE_BIAS), upper=True,
    )  # fmt: skip


def _covered(
    figure: str,
    truth: float,
    draw: Callable[[], Photos | Pair],
    resample: Callable[..., FloatArray],
    in_use: Callable[[float, FloatArray, NDArray[np.bool_]], Interval],
    times: int = TIMES,
    upper: bool = False,
) -> Covered:
    """Compute how often intervals of a figure hold the truth.

    Args:
        figure: its name.
        truth: its true value.
        draw: draws a test split.
        resample: computes the figure of a test split on resamples.
        in_use: the interval that is judged, from the figure, its resamples and the targets.
        times: number of test splits.
        upper: whether the upper end alone counts.
    """
    hits = []
    for seed in track(range(times), f"test splits at {figure} {truth:.1f}", total=times, unit="splits"):
        photos = draw()
        value, draws = _value(resample, photos), resample(*photos, multiplicities(len(photos[0]), DRAWS, seed))
        percentile = Interval(value, *map(float, np.quantile(draws, [0.025, 0.975])))
        intervals = in_use(value, draws, photos[-1]), interval(value, draws), percentile
        hits.append([(upper or ends.low <= truth) and truth <= ends.high for ends in intervals])
    shares = dict(zip(("in_use", "basic", "percentile"), map(float, 100 * np.mean(hits, axis=0)), strict=True))
    low, high = UPPER_BOUNDS if upper else BOUNDS
    return Covered(figure, truth, **shares, holds=low <= shares["in_use"] <= high)


def _gate_interval(value: float, draws: FloatArray, targets: NDArray[np.bool_]) -> Interval:
    return ap_interval(value, draws, targets.sum(axis=0))


def _pages_interval(value: float, draws: FloatArray, targets: NDArray[np.bool_]) -> Interval:
    differences = draws[np.newaxis]
    one = paired(differences, np.zeros_like(differences), np.array([value]), targets.sum(axis=0))
    return Interval(value, one.low, one.high)


def _resampled_difference(
    first: FloatArray, second: FloatArray, targets: NDArray[np.bool_], counts: Counts
) -> FloatArray:
    return resampled_map(first, targets, counts) - resampled_map(second, targets, counts)


def _value(figure: Callable[..., FloatArray], photos: Photos | Pair) -> float:
    return float(figure(*photos, np.ones((len(photos[0]), 1), np.uint8))[0])


def _photos(rng: np.random.Generator, photos: int, classes: int, separation: float) -> Photos:
    """Draw normal scores, shifted up for positives, and targets."""
    targets = rng.random((photos, classes)) < POSITIVES / PHOTOS
    return rng.standard_normal((photos, classes)) + separation * targets, targets


def _two_models(
    rng: np.random.Generator, photos: int, rates: FloatArray, separations: tuple[float, float], correlation: float
) -> Pair:
    """Draw correlated scores of two models, each shifted up for positives, and targets that occur at ``rates`` [C]."""
    targets = rng.random((photos, len(rates))) < rates
    common, first, second = rng.standard_normal((3, *targets.shape))
    own = (1 - correlation) ** 0.5
    common *= correlation**0.5
    return (
        common + own * first + separations[0] * targets,
        common + own * second + separations[1] * targets,
        targets,
    )


def _probabilities(photos: Photos, times: float) -> Photos:
    """Convert scores to probabilities, calibrated where ``times`` is 1."""
    scores, targets = photos
    separation, prior = SEPARATIONS[0], POSITIVES / PHOTOS
    log_odds = separation * scores - separation**2 / 2 + np.log(prior / (1 - prior))
    return 1 / (1 + np.exp(-times * log_odds)), targets
