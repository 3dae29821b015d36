"""Caches and leftovers that ``sadcl clean`` removes, and files in use that it keeps."""

import os
from pathlib import Path

import pytest

from sadcl import files, layout, pipeline
from sadcl.project import cleanup


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


def test_clean_removes_files_and_folders_and_keeps_the_rest(folder: Path) -> None:
    pipeline.set_up(folder)
    files.write_text(layout.CACHE / "maps/a", "12345")
    files.write_text(layout.REVIEW_CACHE / "values/a.json", "{}")
    files.write_text(layout.VERIFIED_SCORES / "a.parquet", "12345")
    files.write_text(layout.LAST_RUNS / "train.json", "{}")
    assert "Removed 12 bytes of caches" in cleanup.clean(cleanup.removable())
    assert not any(cache.exists() for cache in (layout.CACHE / "maps", layout.REVIEW_CACHE, layout.VERIFIED_SCORES))
    assert (layout.LAST_RUNS / "train.json").exists()
