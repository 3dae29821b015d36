"""Validation against accepted data: drift, classes, and files that are no baseline."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sadcl.data.validation import baseline, validator
from sadcl.errors import SadclError
from tests.data.validation.pets import DRIFT_RULES, good, judge, statuses


def test_data_passes_against_its_own_baseline_and_drift_is_named(tmp_path: Path) -> None:
    accepted = json.loads(json.dumps(baseline.compute_baseline(good())))
    assert accepted["images"] == 12
    assert accepted["frequencies"] == pytest.approx({"cat": 1 / 3, "dog": 1 / 3, "bird": 1 / 3}, abs=1e-6)
    assert judge(good(), tmp_path / "same", accepted=accepted)["passed"]
    accepted = json.loads(json.dumps(baseline.compute_baseline(good(20))))
    changed = good(20, labels={row: [0, 1] for row in range(240) if row % 12 in (0, 3, 9)})
    moved = judge(changed, tmp_path / "moved", accepted=accepted)
    assert statuses(moved, "failed") == {"frequencies as accepted", "pairs as accepted", "labels a photo as accepted"}
    frequencies, pairs, measures = validator.sentences(moved)
    assert "dog (33.33% of photos before, 58.33% now)" in frequencies
    assert "cat and dog (0.0% before, 37.5% now)" in pairs
    assert "labels a photo (by 0.25; its median was 1 and is 1)" in measures
    assert all("sadcl data accept" in sentence for sentence in (frequencies, pairs, measures))


def test_new_and_missing_classes_are_reported(tmp_path: Path) -> None:
    accepted = baseline.compute_baseline(good())
    accepted["frequencies"] = {"cat": 1 / 3, "dog": 1 / 3, "cow": 0.2}
    result = judge(good(), tmp_path / "docs", accepted=accepted)
    assert statuses(result, "failed") == {"classes as accepted"}
    assert "bird (new), cow (gone)" in validator.sentences(result)[0]


def test_a_class_with_its_first_photos_has_moved(tmp_path: Path) -> None:
    accepted = baseline.compute_baseline(good(10))
    accepted["frequencies"]["bird"] = 0.0
    assert statuses(judge(good(10), tmp_path / "docs", accepted=accepted), "failed") == {"frequencies as accepted"}


def test_a_baseline_of_another_source_is_not_applicable(tmp_path: Path) -> None:
    accepted = baseline.compute_baseline(good()) | {"source": "data/raw/scenes", "frequencies": {"7": 1.0}}
    result = judge(good(), tmp_path / "docs", accepted=accepted)
    assert result["passed"]
    assert "data/raw/scenes" in result["rules"][-1]["sentence"]


def test_a_baseline_of_an_older_version_is_compared_by_its_frequencies(tmp_path: Path) -> None:
    now = baseline.compute_baseline(good())
    older = {name: now[name] for name in ("images", "source", "frequencies", "table")}
    result = judge(good(), tmp_path / "docs", accepted=older)
    assert result["passed"]
    assert statuses(result, "not applicable") == DRIFT_RULES - {"frequencies as accepted"}
    assert "`sadcl data accept` adds them" in result["rules"][-1]["sentence"]


WRONG = [
    {}, [], "yes", {"frequencies": {"cat": "often"}}, {"frequencies": {"cat": 3}}, {"measures": {}}, {"measures": 3},
    {"measures": {key: {"count": 2, "values": [1], "below": [], "upto": []} for key in baseline.MEASURES}},
    {"together": {"pairs": {"cat": {"dog": "many"}}, "others": 0}}, {"together": {"pairs": [], "others": 0}},
    {"images": None},
]  # fmt: skip


@pytest.mark.parametrize("value", WRONG)
def test_a_file_that_is_no_baseline_is_refused(value: Any, tmp_path: Path) -> None:
    if isinstance(value, dict) and value and "frequencies" not in value:
        value = baseline.compute_baseline(good()) | value
    with pytest.raises(SadclError, match=r"data/accepted\.json.*sadcl data accept"):
        judge(good(), tmp_path / "docs", accepted=value)
    assert not (tmp_path / "docs").exists()


def test_pairs_of_20000_classes_take_little_memory() -> None:
    labels = np.zeros((200, 20_000), bool)
    for row in range(200):
        labels[row, [row, row + 1, 19_999]] = True
    tracemalloc.start()
    try:
        counts = baseline.co_occurrences(labels)
        pairs = baseline.pairs_of(tuple(f"{j:05}" for j in range(20_000)), counts)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert pairs["00000", "19999"] == pairs["00001", "00002"] == 1
    assert len(pairs) == 200 + 201
    assert counts.diagonal()[19_999] == 200
    assert peak < 100_000_000  # a square of counts alone has 3.2 GB
