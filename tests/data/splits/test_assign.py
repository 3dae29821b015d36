"""Assignment to splits: repeatable, stable when photos are added, and every class stays in train."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sadcl.data.splits import assign
from sadcl.errors import SadclError

FRACTIONS = st.sampled_from([0.05, 0.2, 0.4, 0.7, 0.9])


@st.composite
def labelled(draw: st.DrawFn) -> np.ndarray:
    """bool [N, C], with classes of every rarity, also absent ones."""
    photos, classes, seed = draw(st.integers(0, 200)), draw(st.integers(1, 12)), draw(st.integers(0, 10**6))
    rng = np.random.default_rng(seed)
    return rng.random((photos, classes)) < rng.choice([0.0, 0.01, 0.03, 0.2, 0.6], classes)


def names(count: int) -> list[str]:
    return [f"photo-{i}" for i in range(count)]


@given(targets=labelled(), fraction=FRACTIONS, seed=st.integers(0, 9))
def test_order_does_not_matter(targets: np.ndarray, fraction: float, seed: int) -> None:
    ids = names(len(targets))
    mask = assign.select_mask(ids, targets, fraction, seed)
    turn = np.random.default_rng(seed).permutation(len(ids))
    turned = assign.select_mask([ids[i] for i in turn], targets[turn], fraction, seed)
    assert np.array_equal(turned, mask[turn])


@given(targets=labelled(), fraction=FRACTIONS, seed=st.integers(0, 9))
def test_every_class_keeps_a_photo_in_train(targets: np.ndarray, fraction: float, seed: int) -> None:
    mask = assign.select_mask(names(len(targets)), targets, fraction, seed)
    assert np.array_equal(targets[~mask].any(axis=0), targets.any(axis=0))


@given(photos=st.integers(2, 150), fraction=FRACTIONS, seed=st.integers(0, 9))
def test_a_rare_class_gets_its_share_of_both(photos: int, fraction: float, seed: int) -> None:
    targets = np.zeros((300, 1), dtype=bool)
    targets[:photos] = True
    mask = assign.select_mask(names(300), targets, fraction, seed)
    chosen = int(mask[:photos].sum())
    assert 1 <= chosen <= photos - 1
    if photos * min(fraction, 1 - fraction) < assign.RARE:
        assert abs(chosen - photos * fraction) <= 1


@given(before=st.integers(0, 300), more=st.integers(1, 300), fraction=FRACTIONS, seed=st.integers(0, 9))
def test_photos_with_common_labels_keep_their_split_when_photos_are_added(
    before: int, more: int, fraction: float, seed: int
) -> None:
    ids, targets = names(before + more), np.zeros((before + more, 3), dtype=bool)
    old = assign.select_mask(ids[:before], targets[:before], fraction, seed)
    new = assign.select_mask(ids, targets, fraction, seed)
    assert np.array_equal(new[:before], old)


def test_few_move_when_photos_with_rare_labels_are_added() -> None:
    ids, targets = names(1100), np.random.default_rng(3).random((1100, 20)) < 0.04
    old = assign.select_mask(ids[:1000], targets[:1000], 0.2, 1)
    new = assign.select_mask(ids, targets, 0.2, 1)[:1000]
    assert np.mean(old != new) < 0.05


def test_shares_and_seeds() -> None:
    ids, targets = names(5000), np.zeros((5000, 1), dtype=bool)
    mask = assign.select_mask(ids, targets, 0.2, 1)
    assert abs(mask.mean() - 0.2) < 0.02
    assert not assign.select_mask(ids, targets, 0.0, 1).any()
    for choice in (assign.select_mask(ids, targets, 0.2, 2), assign.select_mask(ids, targets, 0.2, 1, "test")):
        assert 0.25 < np.mean(choice != mask) < 0.4  # two independent choices differ in 2 x 0.2 x 0.8


@settings(max_examples=25, deadline=None)
@given(targets=labelled(), seed=st.integers(0, 3))
def test_assignments_are_stable(tmp_path_factory: pytest.TempPathFactory, targets: np.ndarray, seed: int) -> None:
    path, half = tmp_path_factory.mktemp("splits") / "own.splits.csv", len(targets) // 2
    ids = names(len(targets))
    first = assign.assign(ids[:half], targets[:half], 0.2, seed, path)
    everything = assign.assign(ids, targets, 0.2, seed, path)
    assert everything[:half] == first
    assert assign.assign(ids, targets, 0.2, seed + 1, path) == everything
    assert set(everything) <= {"train", "select", "test"}


def test_all_three_splits_get_their_share(tmp_path: Path) -> None:
    splits = assign.assign(names(2000), np.zeros((2000, 1), dtype=bool), 0.2, 5, tmp_path / "s.csv")
    for split, share in (("train", 0.6), ("select", 0.2), ("test", 0.2)):
        assert abs(splits.count(split) / 2000 - share) < 0.03


def test_names_with_commas_quotes_and_newlines_keep_their_split(tmp_path: Path) -> None:
    ids = ['a,"b".jpg', "c\nd.jpg", "ü.jpg"]
    targets = np.zeros((3, 1), dtype=bool)
    path = tmp_path / "s.csv"
    first = assign.assign(ids, targets, 0.3, 1, path)
    changed = path.stat().st_mtime_ns
    assert assign.assign(ids, targets, 0.3, 99, path) == first
    assert path.stat().st_mtime_ns == changed


@pytest.mark.parametrize("damage", ["file,split\na.jpg,somewhere\n", "file,split\na.jpg\n", 'file,split\n"a', "\xff"])
def test_a_damaged_assignment_file_is_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "s.csv"
    path.write_bytes(damage.encode("latin-1"))
    with pytest.raises(SadclError, match=r"s\.csv"):
        assign.assign(["a.jpg"], np.zeros((1, 1), dtype=bool), 0.2, 1, path)


@pytest.mark.parametrize("fraction", [0.0, 0.5, 0.9])
def test_a_fraction_that_leaves_a_split_empty_is_refused(tmp_path: Path, fraction: float) -> None:
    with pytest.raises(SadclError, match="select_fraction"):
        assign.assign(["a.jpg"], np.zeros((1, 1), dtype=bool), fraction, 1, tmp_path / "s.csv")


def test_a_photo_under_another_name_keeps_its_split(tmp_path: Path) -> None:
    ids, digests = names(60), [f"{i:064d}" for i in range(60)]
    targets, path = np.zeros((60, 1), dtype=bool), tmp_path / "s.csv"
    first = assign.assign(ids, targets, 0.2, 1, path, digests=digests)
    assert assign.assign([f"sofa/{name}" for name in ids], targets, 0.2, 1, path, digests=digests) == first
    turned = [*ids[1:], ids[0]]  # renumbered: each photo has the name of another one
    assert assign.assign(turned, targets, 0.2, 1, path, digests=digests) == first
    assert assign.assign(turned, targets, 0.2, 1, path, digests=["f" * 64] * 60) == first  # each one edited


def test_a_file_without_digests_gets_them(tmp_path: Path) -> None:
    ids, digests = names(60), [f"{i:064d}" for i in range(60)]
    targets, path = np.zeros((60, 1), dtype=bool), tmp_path / "s.csv"
    first = assign.assign(ids, targets, 0.2, 1, path)
    path.write_text("\n".join(["file,split", *(f"{name},{split}" for name, split in zip(ids, first, strict=True))]))
    assert assign.assign(ids, targets, 0.2, 2, path, digests=digests) == first
    assert assign.assign([f"sofa/{name}" for name in ids], targets, 0.2, 2, path, digests=digests) == first
