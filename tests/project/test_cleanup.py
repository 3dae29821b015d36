"""Caches and leftovers that ``sadcl clean`` removes, and files in use that it keeps."""

import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from sadcl import files, layout, pipeline
from sadcl.project import cleanup, worktree


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_partial_files_of_killed_stages_are_removable_and_those_being_written_are_not(folder: Path) -> None:
    abandoned, being_written = folder / "data/shards/.train.x1.part", folder / "models/.weights.x2.part"
    for part in (abandoned / "train-0.parquet", being_written):
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(b"12345")
    (folder / "models/weights.safetensors").write_bytes(b"whole")
    os.utime(abandoned, (0, 0))
    assert cleanup.removable() == [(abandoned.relative_to(folder), 5)]


def test_a_trainer_state_in_use_is_not_removable(folder: Path) -> None:
    for name in ("idle", "running"):
        files.write_text(layout.TRAINING_STATE / name / "state", "12345")
    with files.lock(layout.TRAINING_STATE / "running/lock", "training"):
        assert cleanup.removable() == [(layout.TRAINING_STATE / "idle", 5)]


def test_scores_that_are_being_computed_are_not_removable(folder: Path) -> None:
    for name in ("idle", "running"):
        files.write_text(layout.SCORING_CACHE / name / "0.arrow", "12345")
    with files.lock(layout.SCORING_CACHE / "running/lock", "scoring"):
        assert cleanup.removable() == [(layout.SCORING_CACHE / "idle", 5)]


def test_maps_and_worktrees_that_are_being_written_are_not_removable(folder: Path) -> None:
    files.write_text(layout.CACHE / "maps/.a.npy.x1.part", "12345")
    files.write_text(layout.WORKTREES / "2026-11-23/params.yaml", "12345")
    with files.lock(layout.RETRAIN_LOCK, "retraining this project"):
        assert cleanup.removable() == []
    assert cleanup.removable() == [(layout.WORKTREES / "2026-11-23", 5)]


def test_what_is_in_use_since_it_was_listed_stays(folder: Path) -> None:
    pipeline.set_up(folder)
    for name in ("idle", "running"):
        files.write_text(layout.TRAINING_STATE / name / "state", "12345")
    listed = cleanup.removable()
    with files.lock(layout.TRAINING_STATE / "running/lock", "training"):
        assert "Removed 5 bytes of caches" in cleanup.clean(listed)
    assert (layout.TRAINING_STATE / "running/state").exists()


def test_results_of_a_retraining_in_a_worktree_stay_in_the_cache_of_dvc(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    with (
        files.lock(layout.RETRAIN_LOCK, "retraining this project"),
        worktree.temporary_worktree(project, "retrain", date(2026, 11, 23)) as tree,
    ):
        (tree.root / "weights.txt").write_text("of this run")
        pipeline.add(tree.root / "weights.txt")
        assert "DVC's cache stays until the retraining has ended" in cleanup.clean(cleanup.removable())
        (tree.root / "weights.txt").unlink()
        pipeline.checkout(tree.root)
        assert (tree.root / "weights.txt").read_text() == "of this run"


def test_clean_removes_files_and_folders_and_keeps_the_rest(folder: Path) -> None:
    pipeline.set_up(folder)
    files.write_text(layout.CACHE / "maps/a", "12345")
    files.write_text(layout.REVIEW_CACHE / "values/a.json", "{}")
    files.write_text(layout.VERIFIED_SCORES / "a.parquet", "12345")
    files.write_text(layout.LAST_RUNS / "train.json", "{}")
    assert "Removed 12 bytes of caches" in cleanup.clean(cleanup.removable())
    assert not any(cache.exists() for cache in (layout.CACHE / "maps", layout.REVIEW_CACHE, layout.VERIFIED_SCORES))
    assert (layout.LAST_RUNS / "train.json").exists()


def test_what_vanishes_while_it_is_looked_at_is_in_use(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link to nowhere is what a partial file is that a process has just renamed; a folder goes as it is listed."""
    vanishing = folder / layout.CACHE / "maps/vanishing"
    vanishing.mkdir(parents=True)
    scandir = os.scandir

    def list_folder(path: str | Path) -> Iterator[os.DirEntry[str]]:
        if Path(path) == vanishing.relative_to(folder) and vanishing.exists():
            vanishing.rmdir()
        return scandir(path)

    monkeypatch.setattr(os, "scandir", list_folder)
    files.write_text(layout.CACHE / "maps/a", "12345")
    assert cleanup.removable() == [(layout.CACHE / "maps", 5)]
    assert not vanishing.exists()
    for part in (layout.CACHE / "maps/.b.x1.part", layout.MODELS / ".weights.x2.part"):
        part.parent.mkdir(exist_ok=True)
        part.symlink_to("nowhere")
    assert cleanup.removable() == []


def test_a_folder_whose_lock_is_refused_counts_as_in_use(folder: Path) -> None:
    """The lock of a folder may belong to another user; everything else can be removed."""
    (layout.TRAINING_STATE / "other/lock").mkdir(parents=True)
    (layout.DOWNLOADS / "a").mkdir(parents=True)
    (layout.DOWNLOADS / "a/file").write_text("x")
    assert [path for path, _ in cleanup.removable()] == [layout.DOWNLOADS / "a"]


def test_a_cleaning_holds_no_lock_of_a_retraining(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cleaning has a lock of its own, on which a retraining waits, so that none takes it for another run."""
    pipeline.set_up(folder)

    def look() -> None:
        with files.lock(layout.RETRAIN_LOCK, "retraining"):
            cleaned.append("DVC's cache")
        with pytest.raises(files.LockedError, match="already cleaning"), files.lock(cleanup.LOCK, "cleaning"):
            pass

    cleaned = list[str]()
    monkeypatch.setattr(pipeline, "collect_garbage", look)
    cleanup.clean([])
    assert cleaned == ["DVC's cache"]
