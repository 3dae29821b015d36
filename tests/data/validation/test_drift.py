"""Drift from the baseline: reported when real, and not when sampling explains it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sadcl import params
from sadcl.data.table import Table
from sadcl.data.validation import baseline, drift, frames, validator

CLASSES = ("fork", "knife", "cat", "dog", "boat")
SHARES = np.array([0.3, 0.3, 0.2, 0.1, 0.02])
SETTINGS = params.Validate(min_side=1, min_positives={}, max_unlabelled=1.0)

Rows = dict[str, Any]


def sample(seed: int, photos: int, change: Callable[[Rows], None] = lambda rows: None) -> Table:
    """Photos drawn at random from one population, which ``change`` may move."""
    rng = np.random.default_rng(seed)
    labels = rng.random((photos, len(CLASSES))) < SHARES
    labels[:, 1] = np.where(rng.random(photos) < 0.7, labels[:, 0], labels[:, 1])  # knives lie beside forks
    rows: Rows = {
        "labels": labels,
        "width": rng.choice([640, 640, 480, 500], photos),
        "height": rng.choice([480, 640, 427, 375], photos),
        "brightness": rng.normal(120, 30, photos),
        "sharpness": rng.lognormal(3, 0.3, photos),
    }
    change(rows)
    frame = pd.DataFrame(
        {
            "image_id": [f"{seed}-{i}" for i in range(photos)],
            "file": [f"{seed}-{i}.jpg" for i in range(photos)],
            "split": np.where(np.arange(photos) % 4, "train", "test"),
            "ignored": [[] for _ in range(photos)],
            "bytes": 1000,
            "sha256": [f"{seed}-{i}" for i in range(photos)],
            "phash": rng.integers(0, 2**64, photos, np.uint64),
            **{name: values for name, values in rows.items() if name != "labels"},
            "labels": [np.flatnonzero(row).tolist() for row in rows["labels"]],
            "problem": pd.Series([None] * photos, dtype=object),
        }
    )
    return Table(frame, CLASSES, "data/raw/kitchen", {})


def fork_everywhere(rows: Rows) -> None:
    alone = ~rows["labels"].any(axis=1)
    rows["labels"][:, 3] |= alone  # each photo without a label shows a dog


def knives_alone(rows: Rows) -> None:
    """As many knives and as many labels a photo, but where no fork lies."""
    together, neither = (rows["labels"][:, :2].sum(axis=1) == count for count in (2, 0))
    rows["labels"][np.flatnonzero(together), 1] = False
    rows["labels"][np.flatnonzero(neither)[: together.sum()], 1] = True


def scaled(name: str, by: float) -> Callable[[Rows], None]:
    def change(rows: Rows) -> None:
        rows[name] = rows[name] * by

    return change


def many_labels(rows: Rows) -> None:
    crowded = np.arange(len(rows["labels"])) % 5 == 0
    rows["labels"][crowded] = True


def small(rows: Rows) -> None:
    half = np.arange(len(rows["width"])) % 2 == 0
    rows["width"], rows["height"] = (np.where(half, rows[side] // 2, rows[side]) for side in ("width", "height"))


CHANGES = {
    "frequencies as accepted": (fork_everywhere, "dog ("),
    "pairs as accepted": (knives_alone, "fork and knife ("),
    "labels a photo as accepted": (many_labels, "labels a photo (by 0."),
    "shorter side as accepted": (small, "its median was 427 and is"),
    "brightness as accepted": (scaled("brightness", 0.7), "brightness (by 0."),
    "sharpness as accepted": (scaled("sharpness", 0.6), "sharpness (by 0."),
}


@pytest.mark.parametrize("rule", CHANGES)
def test_a_real_change_of_each_kind_fails(rule: str, tmp_path: Path) -> None:
    before = baseline.compute_baseline(sample(1, 1200))
    change, sentence = CHANGES[rule]
    result = validator.validate(sample(2, 900, change), SETTINGS, before, tmp_path / "docs")
    failed = {rule["rule"]: rule["sentence"] for rule in result["rules"] if rule["status"] == "failed"}
    assert sentence in failed[rule]
    image_rules = {"shorter side as accepted", "brightness as accepted", "sharpness as accepted"}
    assert rule not in image_rules or set(failed) == {rule}, "unchanged statistics raise no alarm"


@pytest.mark.parametrize(("then", "now"), [(20, 20), (60, 300), (2000, 150), (1500, 1500)])
def test_sampling_raises_no_alarm(then: int, now: int) -> None:
    for seed in range(40):
        before = baseline.parse_baseline(baseline.compute_baseline(sample(seed, then)))
        assert before is not None
        table = sample(seed + 1000, now)
        moved = [frames.frequencies(table, before)["shift"], frames.measures(table, before)["moved"],
                 frames.co_occurrences(table, before)["shift"]]  # fmt: skip
        bounds = (SETTINGS.max_shift, 0.15, SETTINGS.max_overlap_shift)
        assert all((part <= bound).all() for part, bound in zip(moved, bounds, strict=True))


def test_without_the_allowance_for_chance_sampling_would_raise_alarms() -> None:
    before = baseline.parse_baseline(baseline.compute_baseline(sample(0, 60)))
    assert before is not None
    distances = [frames.measures(sample(seed, 60), before)["distance"].max() for seed in range(1, 41)]
    assert np.mean(np.array(distances) > 0.15) > 0.3


def test_distance_at_knots_agrees_with_the_distance_of_the_samples() -> None:
    from scipy.stats import ks_2samp

    rng = np.random.default_rng(4)
    for before, now in [
        (rng.normal(0, 1, 800), rng.normal(0.4, 1, 500)),
        (rng.integers(0, 6, 700), rng.integers(1, 7, 400)),
        (np.full(300, 96.0), np.where(np.arange(200) % 2, 96.0, 48.0)),
        (rng.normal(0, 1, 900), rng.normal(0, 2, 900)),
    ]:
        exact = ks_2samp(before, now).statistic
        distance = drift.distance(drift.distribution(before), now)
        assert exact - 0.05 <= distance <= exact + 1e-5
        assert drift.distance(drift.distribution(before), before) == 0


def test_a_pair_too_rare_for_the_baseline_is_reported_when_it_becomes_frequent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baseline, "PAIRS", 1)
    accepted = baseline.compute_baseline(sample(1, 1500))
    assert [(name, *row) for name, row in accepted["together"]["pairs"].items()] == [("fork", "knife")]
    monkeypatch.undo()
    before = baseline.parse_baseline(accepted)
    assert before is not None

    def cats_with_dogs(rows: Rows) -> None:
        rows["labels"][:, 3] = rows["labels"][:, 2]

    quiet, loud = (frames.co_occurrences(sample(2, 1500, *change), before) for change in ((), (cats_with_dogs,)))
    assert (quiet["shift"] <= SETTINGS.max_overlap_shift).all()
    assert loud.loc[loud["shift"].idxmax(), "pair"] == "cat and dog"
    assert loud["shift"].max() > SETTINGS.max_overlap_shift


def test_a_baseline_stays_small_with_many_classes_and_photos() -> None:
    import json

    rng = np.random.default_rng(0)
    photos, classes = 20_000, 500
    table = sample(1, photos)
    frame = table.frame.assign(labels=[rng.choice(classes, 6, replace=False).tolist() for _ in range(photos)])
    accepted = baseline.compute_baseline(Table(frame, tuple(f"class {i}" for i in range(classes)), table.source, {}))
    assert len(json.dumps(accepted, indent=2)) < 150_000
