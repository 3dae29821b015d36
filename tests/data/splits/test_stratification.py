"""Stratification: shares are right, groups stay together, assignments are stable, and train has every label."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sadcl.data.splits import assign
from sadcl.data.table import SPLITS


def names(count: int) -> list[str]:
    return [f"photo-{i}" for i in range(count)]


def labels(seed: int, photos: int, classes: int) -> np.ndarray:
    """bool [N, C], about three labels a photo, with frequent and rare classes."""
    rng = np.random.default_rng(seed)
    frequency = np.minimum(0.6, 3 / classes * rng.exponential(1, classes) + 1 / max(photos, 1))
    return rng.random((photos, classes)) < frequency


def assigned(folder: Path, targets: np.ndarray, fraction: float = 0.2, seed: int = 1, **more: object) -> np.ndarray:
    splits = assign.assign(names(len(targets)), targets, fraction, seed, folder / "s.csv", **more)  # type: ignore[arg-type]
    return np.array([SPLITS.index(split) for split in splits])


def off(splits: np.ndarray, targets: np.ndarray, fraction: float) -> np.ndarray:
    """float [3, C + 1], by how many photos of a label (the last is having none) a split misses its share."""
    targets = np.column_stack([targets, ~targets.any(axis=1)])
    shares = (1 - 2 * fraction, fraction, fraction)
    return np.array([targets[splits == s].sum(axis=0) - share * targets.sum(axis=0) for s, share in enumerate(shares)])


@pytest.mark.parametrize(("photos", "classes"), [(60, 4), (200, 6), (500, 10)])
@pytest.mark.parametrize("seed", range(3))
def test_each_label_has_its_share_within_a_photo(tmp_path: Path, photos: int, classes: int, seed: int) -> None:
    targets = labels(seed, photos, classes)
    assert np.abs(off(assigned(tmp_path, targets), targets, 0.2)).max() <= 1


@pytest.mark.parametrize("seed", range(3))
def test_with_eighty_labels_nearly_all_shares_are_within_a_photo(tmp_path: Path, seed: int) -> None:
    targets = labels(seed, 3000, 80)
    missed = np.abs(off(assigned(tmp_path, targets), targets, 0.2))
    assert np.mean(missed <= 1) > 0.98
    assert missed.max() <= 3


@settings(deadline=None)
@given(
    seed=st.integers(0, 10**6), photos=st.integers(0, 120), classes=st.integers(1, 8), fraction=st.floats(0.05, 0.45)
)
def test_train_has_every_class(
    tmp_path_factory: pytest.TempPathFactory, seed: int, photos: int, classes: int, fraction: float
) -> None:
    targets = labels(seed, photos, classes)
    splits = assigned(tmp_path_factory.mktemp("s"), targets, fraction)
    assert np.array_equal(targets[splits == 0].any(axis=0), targets.any(axis=0))


@settings(deadline=None)
@given(seed=st.integers(0, 10**6), photos=st.integers(1, 150))
def test_groups_stay_together(tmp_path_factory: pytest.TempPathFactory, seed: int, photos: int) -> None:
    groups = np.random.default_rng(seed).integers(0, max(1, photos // 3), photos)
    splits = assigned(tmp_path_factory.mktemp("s"), labels(seed, photos, 5), groups=groups)
    assert all(len(set(splits[groups == group])) == 1 for group in set(groups.tolist()))


@settings(deadline=None)
@given(seed=st.integers(0, 10**6), before=st.integers(1, 80), more=st.integers(0, 80))
def test_photos_keep_their_splits_and_a_later_near_duplicate_joins(
    tmp_path_factory: pytest.TempPathFactory, seed: int, before: int, more: int
) -> None:
    folder, targets = tmp_path_factory.mktemp("s"), labels(seed, before + more, 5)
    groups = np.random.default_rng(seed).integers(0, before + more, before + more)
    old = assigned(folder, targets[:before], groups=groups[:before])
    new = assigned(folder, targets, seed=2, groups=groups)
    assert np.array_equal(new[:before], old)
    for group in set(groups[:before].tolist()):
        assert set(new[groups == group]) == set(old[groups[:before] == group])


def test_shares_hold_over_photos_that_come_later(tmp_path: Path) -> None:
    targets = labels(3, 1000, 10)
    for end in range(100, 1001, 100):
        splits = assigned(tmp_path, targets[:end])
    assert np.abs(off(splits, targets, 0.2)).max() <= 1


def test_the_order_does_not_matter_and_the_seed_does(tmp_path: Path) -> None:
    targets, ids = labels(5, 300, 6), names(300)
    turn = np.random.default_rng(0).permutation(300)
    first = assign.assign(ids, targets, 0.2, 1, tmp_path / "a.csv")
    turned = assign.assign([ids[i] for i in turn], targets[turn], 0.2, 1, tmp_path / "b.csv")
    assert turned == [first[i] for i in turn]
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert assign.assign(ids, targets, 0.2, 2, tmp_path / "c.csv") != first


def test_splits_of_the_source_count_and_are_not_written(tmp_path: Path) -> None:
    targets = np.zeros((100, 1), dtype=bool)
    fixed = ["test"] * 20 + [""] * 80
    splits = assign.assign(names(100), targets, 0.2, 1, tmp_path / "s.csv", fixed=fixed)
    assert splits[:20] == ["test"] * 20
    assert (splits.count("test"), splits.count("select")) == (20, 20)
    assert "photo-5," not in (tmp_path / "s.csv").read_text()


def test_an_unreadable_photo_is_not_written(tmp_path: Path) -> None:
    targets, unreadable = np.ones((10, 1), dtype=bool), np.arange(10) == 4
    assign.assign(names(10), targets, 0.2, 1, tmp_path / "s.csv", unreadable=unreadable)
    written = (tmp_path / "s.csv").read_text()
    assert "photo-4," not in written
    assert written.count("photo-") == 9
