"""Tables for plots."""

import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sadcl import SadclError, files
from sadcl.evaluation import curves

some = st.integers(0, 2**32 - 1).map(np.random.default_rng)


@settings(deadline=None)
@given(some, st.integers(2, 40))
def test_each_point_is_what_its_threshold_gives(rng, points):
    scores, targets, ignored = rng.integers(0, 9, (30, 4)) / 8, rng.random((30, 4)) < 0.3, rng.random((30, 4)) < 0.2
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curves, "POINTS", points)
        rows = curves.precision_recall(scores, targets, ignored)
    assert 1 <= len(rows) <= points
    for row in rows:
        taken = (scores >= row["threshold"]) & ~ignored
        right = (taken & targets).sum()
        assert row["precision"] == pytest.approx(100 * right / taken.sum())
        assert row["recall"] == pytest.approx(100 * right / (targets & ~ignored).sum())
    assert rows[-1]["recall"] == 100
    assert [r["recall"] for r in rows] == sorted(r["recall"] for r in rows)


def test_a_large_set_has_at_most_two_hundred_points_spread_over_recall():
    rng = np.random.default_rng(0)
    rows = curves.precision_recall(rng.random((2000, 20)), rng.random((2000, 20)) < 0.1)
    recall = [row["recall"] for row in rows]
    assert 150 < len(rows) <= 200
    assert max(np.diff(recall)) < 1


def test_without_positives_there_is_no_curve(tmp_path):
    rows = curves.precision_recall([[0.3, 0.4]], [[0, 0]])
    assert rows == []
    files.write_csv(tmp_path / "pr.csv", rows, ("recall", "precision"))
    assert (tmp_path / "pr.csv").read_text() == "recall,precision\n"


def test_shapes_that_differ_are_refused():
    with pytest.raises(SadclError, match="one shape"):
        curves.precision_recall([[0.1, 0.2]], [[1]])


def test_classes_without_positives_have_no_bar(tmp_path):
    targets = np.array([[1, 0, 1], [1, 0, 0]])
    ignored = np.array([[0, 0, 1], [0, 0, 0]])
    ap = {"AP": np.array([81.25, np.nan, np.nan]), "AP_sarl": np.array([75.0, np.nan, np.nan])}
    rows = curves.per_class(["cat", "dog", "cow, brown"], targets, ignored, ap)
    assert rows == [{"class": "cat", "AP": 81.25, "AP_sarl": 75.0, "positives": 2}]
    assert len(curves.per_class(["cat", "dog", "cow, brown"], targets, None, ap)) == 2


def test_numbers_and_commas_survive_the_csv(tmp_path):
    files.write_csv(
        tmp_path / "t.csv", [{"class": "cow, brown", "AP": 200 / 3, "positives": 2}], ("class", "AP", "positives")
    )
    with open(tmp_path / "t.csv", newline="") as file:
        assert list(csv.DictReader(file)) == [{"class": "cow, brown", "AP": "66.6667", "positives": "2"}]
