"""Slices of the test images: how they are cut, and that one which clearly lost is found among those that did not."""

from typing import Any

import numpy as np
import pytest

from sadcl import params
from sadcl.evaluation.gate.champion import Champion
from sadcl.evaluation.gate.rules.slices import groups
from sadcl.evaluation.gate.verdict import verdict
from sadcl.evaluation.metrics import to_json
from sadcl.evaluation.scores import Scores

N = 600
CHAMPION_RECORD = Champion("n-production", "1", "b" * 64)


def rows(column: list[Any]) -> dict[str, list[int]]:
    return {name: np.flatnonzero(mask).tolist() for name, mask in groups(column).items()}


def test_words_and_few_numbers_are_slices_as_they_are_and_what_is_not_known_is_one() -> None:
    assert rows(["phone", "slr", None, "phone"]) == {"phone": [0, 3], "slr": [1], "unknown": [2]}
    assert rows([2.0, 10.0, float("nan"), 2.0]) == {"2": [0, 3], "10": [1], "unknown": [2]}


@pytest.mark.parametrize(
    ("column", "names"),
    [
        ([20240101.0] * 3 + [20240102.0] * 2, ["20240101", "20240102"]),
        ([0.12345671, 0.12345672], ["0.12345671", "0.12345672"]),
        ([3, 3.5, 0.001], ["0.001", "3", "3.5"]),
        ([2.0, "2", "unknown", None], ["2", "unknown"]),
    ],
)
def test_distinct_values_are_slices_that_contain_every_image(column: list[Any], names: list[str]) -> None:
    masks = groups(column)
    assert list(masks) == names
    assert (np.sum(list(masks.values()), axis=0) == 1).all()


@pytest.mark.parametrize("step", [1, 1.1, 1e-9])
def test_quartiles_close_to_each_other_contain_every_image(step: float) -> None:
    masks = groups([20240101 + step * i for i in range(30)] if step >= 1 else [1 + step * i for i in range(30)])
    assert len(masks) == 4
    assert (np.sum(list(masks.values()), axis=0) == 1).all()


def test_a_column_of_words_and_many_numbers_is_not_cut() -> None:
    assert list(groups([*map(float, range(10)), *map(float, range(10)), "slr"])) == [*map(str, range(10)), "slr"]


def test_many_numbers_are_cut_at_their_quartiles_and_nobody_is_lost() -> None:
    masks = groups([*map(float, range(100)), None])
    assert list(masks) == ["below 24.75", "24.75 to 49.5", "49.5 to 74.25", "from 74.25", "unknown"]
    assert [int(part.sum()) for part in masks.values()] == [25, 25, 25, 25, 1]
    assert (np.sum(list(masks.values()), axis=0) == 1).all()


def model(name: str, digest: str, noise: np.ndarray) -> Scores:
    rng = np.random.default_rng(5)
    targets = rng.random((N, 5)) < 0.4
    logits = (3.0 * targets - 1.5 + noise[:, None] * rng.standard_normal((N, 5))).astype(np.float32)
    camera = ["phone" if i % 3 else "slr" for i in range(N)]
    return Scores(
        [f"{i}" for i in range(N)], [f"{i:064x}" for i in range(N)], tuple("abcde"), targets, np.zeros_like(targets),
        {"camera": camera}, {name: logits}, {"weights": digest, "test_list": "list"}, {name: 0},
    )  # fmt: skip


def judge_slice(rule: params.Slice, model_scores: Scores, champion_scores: Scores) -> dict[str, Any]:
    recorded_metrics = {
        "sadcl": to_json(model_scores.figures("sadcl", 0.5)),
        "digests": model_scores.digests,
        "seen_in_training": 0,
    }
    [row] = verdict(params.Gate(rules=(rule,)), 0.5, model_scores, recorded_metrics, champion_scores, CHAMPION_RECORD)[
        "rules"
    ]
    return dict(row)


def rule(column: str = "camera", **more: Any) -> params.Slice:
    return params.Slice(**{"kind": "slice", "column": column, "metric": "mAP", "margin": 5.0, **more})


SLR = np.array([i % 3 == 0 for i in range(N)])
CHAMPION = model("champion", "b" * 64, np.full(N, 0.8))


@pytest.mark.parametrize("metric", ["mAP", "OF1"])
def test_a_slice_that_clearly_lost_fails_though_the_whole_hardly_did(metric: str) -> None:
    worse = model("sadcl", "a" * 64, np.where(SLR, 3.0, 0.6))
    judged = judge_slice(rule(metric=metric), worse, CHAMPION)
    assert judged["result"] == "fail"
    assert judged["words"].startswith(f"1 of 2 slices by camera lost more than 5.00 {metric}: slr -")
    shuffled = CHAMPION.part(np.random.default_rng(1).permutation(N))
    assert judge_slice(rule(metric=metric), worse, shuffled) == judged


def test_slices_that_did_not_lose_pass() -> None:
    same = model("sadcl", "a" * 64, np.full(N, 0.8))
    assert judge_slice(rule(), same, CHAMPION)["result"] == "pass"
    by_labels = judge_slice(rule("labels", min_images=50), same, CHAMPION)
    assert by_labels["result"] == "pass"
    assert "3 slices by labels" in by_labels["words"]
    assert "with fewer than 50 images, or without labels, not judged" in by_labels["words"]


def test_small_slices_and_unknown_columns_are_reported() -> None:
    same = model("sadcl", "a" * 64, np.full(N, 0.8))
    few = judge_slice(rule(min_images=500), same, CHAMPION)
    assert (few["result"], few["words"]) == ("not applicable", "mAP by camera: no slice has 500 images and a label.")
    lost = judge_slice(rule("place"), same, CHAMPION)
    assert (lost["result"], lost["words"]) == (
        "refused", "The test images have no column place to slice by; they have camera, labels.",
    )  # fmt: skip
    assert judge_slice(rule(metric="map"), same, CHAMPION)["result"] == "refused"
