"""Resampled figures are those of the resample written out."""

import numpy as np
import pytest

from sadcl.evaluation.bootstrap import (
    ap_interval,
    interval,
    multiplicities,
    resampled,
    resampled_ap,
    resampled_map,
)
from sadcl.evaluation.metrics import NAMES, evaluate


@pytest.mark.parametrize("some_ignored", [False, True])
def test_each_resample_is_scored_as_if_its_rows_were_written_out(some_ignored: bool) -> None:
    rng = np.random.default_rng(4)
    scores, targets = rng.random((40, 5)), rng.random((40, 5)) < 0.15
    targets[:, 4] = False
    targets[7, 3] = True
    scores = np.where(targets, scores + 0.2, scores).clip(0, 1)
    ignored = (rng.random((40, 5)) < 0.2) & ~targets if some_ignored else None
    counts = multiplicities(40, 30, 11)
    resamples = resampled(scores, targets, counts, ignored, 0.6)
    np.testing.assert_array_equal(resamples.figures["mAP"], resampled_map(scores, targets, counts, ignored))
    for r, row in enumerate(counts.T):
        drawn = np.repeat(np.arange(40), row)
        written = evaluate(scores[drawn], targets[drawn], None if ignored is None else ignored[drawn], 0.6)
        flat = {name: written[name] for name in NAMES}  # type: ignore[literal-required]
        flat |= {f"top3.{name}": value for name, value in written["top3"].items()}
        assert {name: resamples.figures[name][r] for name in flat} == pytest.approx(flat, abs=1e-9)
        np.testing.assert_allclose(resamples.ap[:, r], written["AP"], atol=1e-9)


@pytest.mark.parametrize("copies", [1, 20, 127, 128, 255])
def test_positives_far_apart_are_ranked_as_if_all_copies_were_written_out(copies: int) -> None:
    rng = np.random.default_rng(copies)
    scores, targets = rng.random((900, 2)), np.zeros((900, 2), bool)
    targets[rng.permutation(900)[:4], 0] = targets[np.argmin(scores[:, 1]), 1] = True
    counts = rng.integers(0, copies + 1, (900, 3)).astype(np.uint8)
    counts[targets.any(axis=1)] = copies
    ap = resampled_ap(scores, targets, counts)
    for draw, row in enumerate(counts.T):
        drawn = np.repeat(np.arange(900), row)
        np.testing.assert_allclose(ap[:, draw], evaluate(scores[drawn], targets[drawn])["AP"])


def test_every_photo_once_is_the_figure_itself() -> None:
    rng = np.random.default_rng(1)
    scores, targets = rng.random((30, 4)), rng.random((30, 4)) < 0.3
    once = resampled_map(scores, targets, np.ones((30, 1), np.uint16))
    assert once[0] == pytest.approx(evaluate(scores, targets)["mAP"])


def test_resamples_keep_the_number_of_photos_and_come_again_with_the_seed() -> None:
    counts = multiplicities(50, 20, 3)
    assert (counts.sum(0) == 50).all()
    np.testing.assert_array_equal(counts, multiplicities(50, 20, 3))
    assert (counts != multiplicities(50, 20, 4)).any()


def test_a_resample_without_any_positive_has_no_figure() -> None:
    values = resampled_map(np.array([[0.9], [0.1]]), np.array([[True], [False]]), np.array([[0, 1], [2, 1]], np.uint16))
    assert np.isnan(values[0])
    assert values[1] == 100


@pytest.mark.parametrize("bias", [0.0, 3.0])
def test_an_interval_holds_the_truth_although_resampled_figures_lie_too_high(bias: float) -> None:
    """A figure lies above the truth by a bias, and its resamples above it by the same."""
    rng, covered = np.random.default_rng(7), 0
    for _ in range(500):
        value = 60 + bias + rng.standard_normal()
        covered += (bounds := interval(value, value + bias + rng.standard_normal(400))).low <= 60 <= bounds.high
    assert 0.92 < covered / 500 < 0.98


def test_an_interval_of_nothing_is_no_interval() -> None:
    bounds = interval(float("nan"), np.full(10, np.nan))
    assert np.isnan([bounds.low, bounds.high]).all()


def test_few_positives_widen_the_interval_of_ap_and_its_bias_is_taken_off() -> None:
    draws = np.random.default_rng(2).normal(62, 1, 4000)
    many, few = (ap_interval(60.0, draws, np.array([count, 0])) for count in (100_000, 10))
    assert many.low + many.high == pytest.approx(2 * (60 - 1.75 * 2), abs=0.2)
    assert few.high - few.low == pytest.approx(1.5 * (many.high - many.low), rel=0.01)
