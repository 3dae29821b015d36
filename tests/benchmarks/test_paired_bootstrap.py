"""Paired differences: noise that both rows share drops out, and intervals hold the truth as often as they say."""

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.paired_bootstrap import paired
from sadcl.evaluation.bootstrap import FloatArray

MANY = np.full(4, 1_000_000)
"""Photos of each class."""
Arguments = tuple[FloatArray, FloatArray, FloatArray, NDArray[np.int64]]


def two_models(seeds: int, apart: float, between_seeds: float, between_photos: float) -> Arguments:
    """Two models on ``seeds`` seeds and 1,000 resamples, with ``apart`` as their mean difference on the photos."""
    rng = np.random.default_rng(0)
    differences = rng.standard_normal(seeds)
    differences = apart + between_seeds * (differences - differences.mean()) / differences.std(ddof=1)
    baseline = 50 + 2 * rng.standard_normal((seeds, 1000))
    return baseline + differences[:, None] + between_photos * rng.standard_normal(1000), baseline, differences, MANY


def test_a_difference_without_noise_is_known_exactly() -> None:
    difference = paired(*two_models(3, 1.5, 0, 0))
    assert difference == pytest.approx((1.5, 1.5, 1.5, 0, 0), abs=1e-9)


def test_what_both_sides_share_is_no_noise_and_more_seeds_make_the_interval_narrower() -> None:
    few, many = paired(*two_models(4, 0.3, 0.4, 0)), paired(*two_models(64, 0.3, 0.4, 0))
    assert many.error == pytest.approx(0.4 / 8, rel=0.05)
    assert few.high - few.low > 3 * (many.high - many.low)
    assert many.low > 0.15
    assert many.shows == pytest.approx(2.8 * many.error)


def test_seeds_do_not_help_against_few_photos() -> None:
    difference = paired(*two_models(64, 0.3, 0.1, 0.5))
    assert difference.error == pytest.approx(0.5, rel=0.1)
    assert difference.low < 0 < difference.high


def test_resamples_of_few_positives_vary_too_little() -> None:
    model, baseline, differences, _ = two_models(8, 1.0, 0.0, 0.5)
    few, many = paired(model, baseline, differences, np.array([5, 5])), paired(model, baseline, differences, MANY)
    assert few.error == pytest.approx(many.error * (5 / 4) ** 0.5)
    assert few.high - few.low == pytest.approx((many.high - many.low) * (5 / 4) ** 0.5)


def test_the_upward_bias_of_resampled_figures_is_taken_off() -> None:
    model, baseline, differences, _ = two_models(8, 1.0, 0.1, 0.1)
    biased = paired(model + 2.0, baseline, differences, MANY)
    assert (biased.low + biased.high) / 2 == pytest.approx(1.0 - 2.0, abs=0.05)


@pytest.mark.parametrize("seeds", [2, 3, 8])
def test_an_interval_from_few_seeds_still_holds_the_truth_as_often_as_it_says(seeds: int) -> None:
    rng, covered = np.random.default_rng(5), 0
    for _ in range(300):
        differences = 0.3 * rng.standard_normal(seeds)
        flat = np.broadcast_to(differences[:, None], (seeds, 50))
        one = paired(flat, np.zeros_like(flat), differences, MANY, draws=1000)
        covered += one.low <= 0 <= one.high
    assert covered / 300 > 0.9
