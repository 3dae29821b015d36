"""Shards that an interrupted run has encoded: the next one encodes only the others, and what has changed meanwhile."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from sadcl import files, params
from sadcl.data.shards import writer
from sadcl.data.shards.reader import Shards
from sadcl.errors import SadclError
from tests.data.shards.test_shards import digests, drawn, photo_table, picture, row

SMALLER = params.Prepare(shard_rows=4, short_side=6)


@pytest.fixture
def rows(tmp_path: Path) -> list[dict[str, Any]]:
    """Rows of 60 photos, each with a file of its own."""
    ids = sorted(drawn(5, 60))
    for number, name in enumerate(ids):
        picture(tmp_path / f"raw/{name}.jpg", (12 + number, 8))
    return [row(tmp_path, name, f"{name}.jpg") for name in ids]


def write(root: Path, rows: list[dict[str, Any]], settings: params.Prepare = SMALLER) -> dict[str, str]:
    """Write shards with those of an interrupted run; returns names and digests of the training shards."""
    writer.write_shards(photo_table(rows), root, root / "shards", settings, 2, root / "encoded")
    Shards(root / "shards/train")
    return digests(root / "shards/train")


def fresh(root: Path, rows: list[dict[str, Any]], settings: params.Prepare = SMALLER) -> dict[str, str]:
    """Write shards without those of other runs; returns names and digests of the training shards."""
    writer.write_shards(photo_table(rows), root, root / "fresh", settings, 2)
    return digests(root / "fresh/train")


def hide(root: Path, rows: list[dict[str, Any]]) -> None:
    """Move the photos of some rows away, so that reading one fails."""
    (root / "hidden").mkdir(exist_ok=True)
    for one in rows:
        shutil.move(root / "raw" / one["file"], root / "hidden")


@pytest.fixture
def interrupted(tmp_path: Path, rows: list[dict[str, Any]]) -> Path:
    """A project in which a run has ended at the last photo, which is back now."""
    hide(tmp_path, rows[-1:])
    with pytest.raises(SadclError, match="can no longer be read"):
        write(tmp_path, rows)
    assert not (tmp_path / "shards/train").exists()
    shutil.move(tmp_path / "hidden" / rows[-1]["file"], tmp_path / "raw")
    return tmp_path


def links(root: Path) -> list[Path]:
    return list((root / "encoded").glob("*.arrow"))


def test_an_interrupted_run_goes_on_behind_its_last_shard(interrupted: Path, rows: list[dict[str, Any]]) -> None:
    expected = fresh(interrupted, rows)
    hide(interrupted, rows[:30])
    assert write(interrupted, rows) == expected
    assert not links(interrupted)


def test_what_has_changed_since_the_interruption_is_encoded_again(
    interrupted: Path, rows: list[dict[str, Any]]
) -> None:
    bounds = writer.boundaries([one["image_id"] for one in rows], SMALLER.shard_rows)
    start = bounds[len(bounds) // 2][0]
    changed = [{**one, "labels": [1]} if number == start else one for number, one in enumerate(rows)]
    expected = fresh(interrupted, changed)
    hide(interrupted, rows[:start])
    assert write(interrupted, changed) == expected


@pytest.mark.parametrize("change", [{"quality": 70}, {"short_side": 7}])
def test_other_settings_encode_all_and_leave_the_interrupted_run_its_shards(
    interrupted: Path, rows: list[dict[str, Any]], change: dict[str, int]
) -> None:
    before, settings = links(interrupted), SMALLER.model_copy(update=change)
    assert before
    assert write(interrupted, rows, settings) == fresh(interrupted, rows, settings)
    assert links(interrupted) == before


def test_an_encoded_shard_that_another_program_has_changed_is_not_used(
    interrupted: Path, rows: list[dict[str, Any]]
) -> None:
    for path in links(interrupted):
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert write(interrupted, rows) == fresh(interrupted, rows)


def test_a_run_next_to_another_one_encodes_for_itself(interrupted: Path, rows: list[dict[str, Any]]) -> None:
    before = links(interrupted)
    with files.lock(interrupted / "encoded/lock", "encoding photos"):
        assert write(interrupted, rows) == fresh(interrupted, rows)
    assert links(interrupted) == before


def test_shards_of_a_run_that_nobody_finishes_are_removed(interrupted: Path, rows: list[dict[str, Any]]) -> None:
    for path in links(interrupted):
        os.utime(path, (0, 0))
    write(interrupted, rows, SMALLER.model_copy(update={"quality": 70}))
    assert not links(interrupted)
