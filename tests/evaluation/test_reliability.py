"""What a score is worth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sadcl import SadclError
from sadcl.evaluation.bootstrap import multiplicities, resampled
from sadcl.evaluation.reliability import BINS, expected_calibration_error, reliability

some = st.integers(0, 2**32 - 1).map(np.random.default_rng)


@given(some)
def test_the_error_is_that_of_a_loop_over_bins_and_labels(rng: np.random.Generator) -> None:
    scores, targets, ignored = rng.random((20, 3)), rng.random((20, 3)) < 0.4, rng.random((20, 3)) < 0.2
    total, rows = 0.0, []
    for b in range(BINS):
        inside = [
            (scores[i, j], targets[i, j]) for i in range(20) for j in range(3)
            if not ignored[i, j] and b / BINS <= scores[i, j] < (b + 1) / BINS
        ]  # fmt: skip
        if inside:
            mean, share = np.mean([s for s, _ in inside]), np.mean([t for _, t in inside])
            total += len(inside) * abs(mean - share)
            rows.append({"score": 100 * mean, "present": 100 * share, "labels": len(inside)})
    assert expected_calibration_error(scores, targets, ignored) == pytest.approx(100 * total / (~ignored).sum())
    assert reliability(scores, targets, ignored) == [pytest.approx(row) for row in rows]


def test_scores_that_say_the_truth_have_no_error_and_sure_lies_have_all_of_it() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random((4000, 10))
    assert expected_calibration_error(scores, rng.random((4000, 10)) < scores) < 1
    assert expected_calibration_error(np.ones((3, 2)), np.zeros((3, 2))) == 100
    assert expected_calibration_error(np.ones((3, 2)), np.ones((3, 2))) == 0


def test_without_any_label_there_is_no_error_to_know() -> None:
    assert np.isnan(expected_calibration_error([[0.5]], [[1]], [[1]]))
    assert reliability([[0.5]], [[1]], [[1]]) == []


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(SadclError, match="one shape"):
        expected_calibration_error([[0.5, 0.5]], [[1]])


def test_resamples_have_the_error_of_the_rows_written_out() -> None:
    rng = np.random.default_rng(4)
    scores, targets, ignored = rng.random((40, 5)), rng.random((40, 5)) < 0.3, rng.random((40, 5)) < 0.2
    counts = multiplicities(40, 20, 11)
    errors = resampled(scores, targets, counts, ignored).figures["ECE"]
    for r, row in enumerate(counts.T):
        drawn = np.repeat(np.arange(40), row)
        assert errors[r] == pytest.approx(expected_calibration_error(scores[drawn], targets[drawn], ignored[drawn]))
