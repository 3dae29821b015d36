"""Resampled figures are those of the resample written out."""

import numpy as np
import pytest

from sadcl.evaluation.bootstrap import multiplicities, resampled_map
from sadcl.evaluation.metrics import evaluate


@pytest.mark.parametrize("some_ignored", [False, True])
def test_each_resample_is_scored_as_if_its_rows_were_written_out(some_ignored: bool) -> None:
    rng = np.random.default_rng(4)
    scores, targets = rng.random((40, 5)), rng.random((40, 5)) < 0.15
    targets[:, 4] = False
    targets[7, 3] = True
    scores = np.where(targets, scores + 0.2, scores).clip(0, 1)
    ignored = (rng.random((40, 5)) < 0.2) & ~targets if some_ignored else None
    counts = multiplicities(40, 30, 11)
    found = resampled_map(scores, targets, counts, ignored)
    for row, value in zip(counts, found, strict=True):
        drawn = np.repeat(np.arange(40), row)
        left_out = None if ignored is None else ignored[drawn]
        assert value == pytest.approx(evaluate(scores[drawn], targets[drawn], left_out)["mAP"], abs=1e-9)


def test_every_photo_once_is_the_figure_itself() -> None:
    rng = np.random.default_rng(1)
    scores, targets = rng.random((30, 4)), rng.random((30, 4)) < 0.3
    assert resampled_map(scores, targets, np.ones((1, 30), int))[0] == pytest.approx(evaluate(scores, targets)["mAP"])


def test_resamples_keep_the_number_of_photos_and_come_again_with_the_seed() -> None:
    counts = multiplicities(50, 20, 3)
    assert (counts.sum(1) == 50).all()
    np.testing.assert_array_equal(counts, multiplicities(50, 20, 3))
    assert (counts != multiplicities(50, 20, 4)).any()


def test_a_resample_without_any_positive_has_no_figure() -> None:
    found = resampled_map(np.array([[0.9], [0.1]]), np.array([[True], [False]]), np.array([[0, 2], [1, 1]]))
    assert np.isnan(found[0])
    assert found[1] == 100
