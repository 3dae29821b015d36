"""Photos for the report: which are chosen, with which labels, and what a damaged file says."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from sadcl import SadclError
from sadcl.evaluation import blocks, shown_photos
from sadcl.evaluation.scores import Scores

CLASSES = ("cat", "dog", "kite")


def scored(count: int) -> Scores:
    """Photos of which each is scored a little worse than the one before; the last has no label."""
    rng = np.random.default_rng(0)
    targets = rng.random((count, len(CLASSES))) < 0.5
    targets[:, 0] |= ~targets.any(1)
    targets[-1] = False
    logits = (np.linspace(4, -4, count)[:, None] * (2.0 * targets - 1)).astype(np.float32)
    ids, digests = [f"photo {i}" for i in range(count)], ["0" * 64] * count
    return Scores(ids, digests, CLASSES, targets, np.zeros_like(targets), logits={"sadcl": logits})


def test_the_worst_come_first_and_unlabelled_photos_not_at_all() -> None:
    chosen = shown_photos.choose(scored(20), "sadcl")
    assert [(photo.group, photo.row) for photo in chosen] == [
        *(("worst", row) for row in (18, 17, 16, 15, 14, 13)), *(("best", row) for row in range(6))
    ]  # fmt: skip


def test_blocks_of_photos_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = shown_photos.choose(scored(20), "sadcl")
    monkeypatch.setattr(blocks, "VALUES", 7)
    assert shown_photos.choose(scored(20), "sadcl") == whole


def test_labels_are_the_true_and_the_wrongly_predicted_ones_without_ignored() -> None:
    photos = scored(2)
    photos = replace(
        photos,
        targets=np.array([[True, False, False], [False, False, False]]),
        ignored=np.array([[False, True, False], [False, False, False]]),
        logits={"sadcl": np.array([[-1, 5, 3], [0, 0, 0]], np.float32)},
    )
    (photo,) = shown_photos.choose(photos, "sadcl")
    assert (photo.true, photo.wrong, photo.mapped) == ((0,), (2,), (0, 2))


def test_a_split_without_labelled_photos_shows_none(tmp_path: Path) -> None:
    chosen = shown_photos.choose(scored(1), "sadcl")
    shown_photos.write(tmp_path / "shown.safetensors", chosen)
    assert shown_photos.read(tmp_path / "shown.safetensors") == []


def test_photos_and_maps_are_read_as_written(tmp_path: Path) -> None:
    path, maps = tmp_path / "shown.safetensors", np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    written = shown_photos.with_maps(shown_photos.choose(scored(6), "sadcl"), lambda row: maps if row else None)
    shown_photos.write(path, written)
    read = shown_photos.read(path)
    assert [replace(photo, maps=None) for photo in read] == [replace(photo, maps=None) for photo in written]
    for photo in read:
        if photo.row:
            np.testing.assert_array_equal(photo.maps, maps[list(photo.mapped)])
        else:
            assert photo.maps is None


@pytest.mark.parametrize(
    "changes",
    [{"group": "other"}, {"row": -1}, {"row": "first"}, {"true": [-1]}, {"wrong": None}, {"true": [0, 1, 2, 0, 1, 2]}],
)
def test_an_entry_that_no_stage_wrote_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    path, maps = tmp_path / "shown.safetensors", np.ones((3, 2, 2), np.float32)
    shown_photos.write(path, shown_photos.with_maps(shown_photos.choose(scored(6), "sadcl"), lambda row: maps))
    with safe_open(path, framework="np") as file:
        entries = json.loads(file.metadata()["sadcl"])
    save_file(load_file(path), path, {"sadcl": json.dumps([{**entries[0], **changes}, *entries[1:]])})
    with pytest.raises(SadclError, match=r"shown\.safetensors"):
        shown_photos.read(path)


@pytest.mark.parametrize("content", [b"", b"no tensors", (2).to_bytes(8, "little") + b"{}"])
def test_a_damaged_or_foreign_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "shown.safetensors"
    path.write_bytes(content)
    with pytest.raises(SadclError, match=r"shown\.safetensors.*dvc repro -f evaluate"):
        shown_photos.read(path)
