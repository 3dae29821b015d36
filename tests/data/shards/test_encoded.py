"""Shards that an earlier run has encoded: an interrupted run goes on, and only what has changed is encoded again."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from sadcl import files, params
from sadcl.data import table
from sadcl.data.shards import writer
from sadcl.data.shards.reader import Shards
from sadcl.errors import SadclError
from tests.data.shards.test_shards import digests, drawn, made, picture, row

SMALLER = params.Prepare(shard_rows=4, short_side=6)


@pytest.fixture
def rows(tmp_path: Path) -> list[dict[str, Any]]:
    """Rows of 60 photos, each with a file of its own."""
    ids = sorted(drawn(5, 60))
    for number, name in enumerate(ids):
        picture(tmp_path / f"raw/{name}.jpg", (12 + number, 8))
    return [row(tmp_path, name, f"{name}.jpg") for name in ids]


def write(root: Path, rows: list[dict[str, Any]], settings: params.Prepare = SMALLER) -> dict[str, str]:
    """Write shards with those of earlier runs; names and digests of the training shards."""
    writer.write_shards(made(rows), root, root / "shards", settings, 2, root / "encoded")
    Shards(root / "shards/train")
    return digests(root / "shards/train")


def fresh(root: Path, rows: list[dict[str, Any]], settings: params.Prepare = SMALLER) -> dict[str, str]:
    """Names and digests of the training shards of a run without earlier ones."""
    writer.write_shards(made(rows), root, root / "fresh", settings, 2)
    return digests(root / "fresh/train")


def hide(root: Path, rows: list[dict[str, Any]]) -> None:
    """Move the photos of some rows away, so that reading one fails."""
    (root / "hidden").mkdir(exist_ok=True)
    for one in rows:
        shutil.move(root / "raw" / one["file"], root / "hidden")


def test_an_interrupted_run_goes_on_behind_its_last_shard(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    expected = fresh(tmp_path, rows)
    hide(tmp_path, rows[-1:])
    with pytest.raises(SadclError, match="can no longer be read"):
        write(tmp_path, rows)
    assert not (tmp_path / "shards/train").exists()
    shutil.move(tmp_path / "hidden" / rows[-1]["file"], tmp_path / "raw")
    hide(tmp_path, rows[:30])
    assert write(tmp_path, rows) == expected


def test_unchanged_shards_are_not_encoded_again_and_changed_ones_are(
    tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    first = write(tmp_path, rows)
    shutil.rmtree(tmp_path / "shards")  # as DVC does before it runs the stage
    bounds = writer.boundaries([one["image_id"] for one in rows], SMALLER.shard_rows)
    start, end = bounds[len(bounds) // 2]
    changed = [{**one, "labels": [1]} if number == start else one for number, one in enumerate(rows)]
    expected = fresh(tmp_path, changed)
    hide(tmp_path, [one for number, one in enumerate(rows) if not start <= number < end])
    after = write(tmp_path, changed)
    assert after == expected
    assert len(first.items() - after.items()) == 1


@pytest.mark.parametrize("change", [{"quality": 70}, {"short_side": 7}])
def test_other_settings_encode_all_again_and_earlier_shards_go(
    tmp_path: Path, rows: list[dict[str, Any]], change: dict[str, int]
) -> None:
    write(tmp_path, rows)
    settings = SMALLER.model_copy(update=change)
    assert write(tmp_path, rows, settings) == fresh(tmp_path, rows, settings)
    splits = [files.read_json(tmp_path / "shards" / split / "index.json")["shards"] for split in table.SPLITS]
    # the two splits without photos have a shard without rows each
    assert len(list((tmp_path / "encoded").glob("*.arrow"))) == sum(map(len, splits))


def test_a_kept_shard_that_another_program_has_changed_is_not_used(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    expected = write(tmp_path, rows)
    shutil.rmtree(tmp_path / "shards")
    for path in (tmp_path / "encoded").glob("*.arrow"):
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert write(tmp_path, rows) == expected
