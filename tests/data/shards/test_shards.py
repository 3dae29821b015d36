"""Shards: what is written is what is read, little changes when little is added, and damage is named."""

import io
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from sadcl import files, layout, params
from sadcl.data import table
from sadcl.data.images.inspect import inspect
from sadcl.data.shards import encoding, writer
from sadcl.data.shards.reader import Shards
from sadcl.errors import SadclError
from sadcl.stages import prepare
from tests.paths import REPOSITORY

RECIPE = REPOSITORY / "recipes/demo.yaml"
CLASSES = ("cat", "dog", "cow")
PREPARE = params.Prepare(shard_rows=4)


def picture(path: Path, size: tuple[int, int] = (12, 8), **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(path.name)).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return path


def row(root: Path, image_id: str, file: str = "one.jpg", **columns: Any) -> dict[str, Any]:
    return {
        "image_id": image_id,
        "file": file,
        "split": "train",
        "labels": [0],
        "ignored": [],
        **{name: value for name, value in asdict(inspect(root / "raw" / file)).items() if name in table.SCHEMA},
        **columns,
    }


def photo_table(rows: Sequence[dict[str, Any]], classes: tuple[str, ...] = CLASSES) -> table.Table:
    frame = pd.DataFrame({name: table.column([r[name] for r in rows]) for name in rows[0]})
    return table.Table(frame, classes, "raw", {})


def write(root: Path, rows: Sequence[dict[str, Any]], how: params.Prepare = PREPARE, workers: int = 2) -> Shards:
    writer.write_shards(photo_table(rows), root, root / "shards", how, workers)
    return Shards(root / "shards/train")


def digests(folder: Path) -> dict[str, str]:
    return {path.name: files.digest(path) for path in sorted(folder.glob("*.arrow"))}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    picture(tmp_path / "raw/one.jpg")
    return tmp_path


def rows_with_ids(root: Path, ids: Sequence[str]) -> list[dict[str, Any]]:
    first = row(root, "")
    return [{**first, "image_id": image_id} for image_id in ids]


def drawn(seed: int, count: int) -> list[str]:
    return [f"{number:010d}" for number in np.random.default_rng(seed).choice(10**9, count, replace=False)]


# What is written is what is read


def test_shards_hold_every_column_of_the_table(root: Path) -> None:
    picture(root / "raw/two.png")
    rows = [
        row(root, "b", labels=[0, 2], ignored=[1], camera="left", light=0.5),
        row(root, "a", "two.png", labels=[], camera=None, light=None),
    ]
    read = write(root, rows)
    assert (len(read), read.ids, read.classes) == (2, ["a", "b"], CLASSES)
    assert read.targets.tolist() == [[False] * 3, [True, False, True]]
    assert read.ignored.tolist() == [[False] * 3, [False, True, False]]
    assert read.sha256 == [files.digest(root / "raw/two.png"), files.digest(root / "raw/one.jpg")]
    assert [read.jpeg(i) for i in (0, 1)] == [(root / f"raw/{name}").read_bytes() for name in ("two.png", "one.jpg")]
    assert read.slices == {"camera": [None, "left"], "light": [None, 0.5]}
    assert read.longer_sides == [max(entry["width"], entry["height"]) for entry in reversed(rows)]


def test_a_part_has_the_rows_of_the_whole(root: Path) -> None:
    rows = rows_with_ids(root, list("abcdefgh"))
    for i, each in enumerate(rows):
        each |= {"labels": [i % 3], "ignored": [(i + 1) % 3], "light": i / 10, "width": 100 + i}
    whole = write(root, rows)
    assert (whole.slices["light"][3], len(whole.longer_sides), len(whole.list_digest)) == (0.3, 8, 64)  # cached
    part = whole.part(3, 7)  # across a boundary of shards
    assert (len(part), part.ids, part.classes) == (4, list("defg"), CLASSES)
    assert part.targets.tolist() == whole.targets[3:7].tolist()
    assert part.ignored.tolist() == whole.ignored[3:7].tolist()
    assert (part.sha256, part.slices) == (whole.sha256[3:7], {"light": [0.3, 0.4, 0.5, 0.6]})
    assert part.longer_sides == [103, 104, 105, 106]
    assert [part.jpeg(i) for i in range(4)] == [whole.jpeg(i) for i in range(3, 7)]
    assert part.digest == whole.digest
    assert part.list_digest != whole.list_digest
    assert (len(whole), whole.ids) == (8, list("abcdefgh"))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ids=st.sets(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8), min_size=1, max_size=40))
def test_rows_are_sorted_by_id(root: Path, ids: set[str]) -> None:
    assert write(root, rows_with_ids(root, list(ids))).ids == sorted(ids)


def test_write_shards_counts_photos_and_writes_empty_splits(root: Path) -> None:
    rows = rows_with_ids(root, ["a", "b", "c"])
    rows[2]["split"] = "test"
    counts = writer.write_shards(photo_table(rows), root, root / "shards", PREPARE, 2)
    assert counts == {"train": 2, "select": 0, "test": 1}
    empty = Shards(root / "shards/select")
    assert (len(empty), empty.ids, empty.classes, empty.targets.shape) == (0, [], CLASSES, (0, 3))


def test_a_photo_with_a_problem_is_left_out(root: Path) -> None:
    rows = rows_with_ids(root, ["a", "b"])
    rows[0]["problem"] = "The file is missing"
    assert write(root, rows).ids == ["b"]


def test_large_photos_are_written_in_groups(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "GROUP_BYTES", 1)
    rows = rows_with_ids(root, list("abcdefgh"))
    for i, each in enumerate(rows):
        each["labels"] = [i % 3]
    read = write(root, rows, params.Prepare(shard_rows=100))
    assert read.ids == list("abcdefgh")
    assert read.targets.argmax(axis=1).tolist() == [i % 3 for i in range(8)]
    assert {read.jpeg(i) for i in range(8)} == {(root / "raw/one.jpg").read_bytes()}


# Little changes when little is added


def test_shards_are_the_same_bytes_with_any_number_of_workers(root: Path) -> None:
    rows = rows_with_ids(root, drawn(0, 30))
    write(root, rows, workers=1)
    shutil.copytree(root / "shards", root / "before")
    write(root, rows[::-1], workers=5)
    for split in table.SPLITS:
        assert digests(root / "shards" / split) == digests(root / "before" / split)
        assert files.digest(root / "shards" / split / "index.json") == files.digest(
            root / "before" / split / "index.json"
        )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("added", [1, 5])
def test_adding_photos_leaves_most_shards_as_they_were(root: Path, seed: int, added: int) -> None:
    ids = drawn(seed, 300 + added)
    write(root, rows_with_ids(root, ids[added:]))
    before = digests(root / "shards/train")
    write(root, rows_with_ids(root, ids))
    after = digests(root / "shards/train")
    assert len(before) > 40
    assert len(set(before.items()) - set(after.items())) <= 3 * added
    assert len(set(after.items()) - set(before.items())) <= 3 * added


def test_shards_have_a_bounded_length(root: Path) -> None:
    write(root, rows_with_ids(root, drawn(3, 400)))
    lengths = [shard["rows"] for shard in files.read_json(root / "shards/train/index.json")["shards"]]
    assert sum(lengths) == 400
    assert max(lengths) <= writer.LONGEST * PREPARE.shard_rows
    assert 2 < np.mean(lengths) < 8


def test_digests_follow_content(root: Path) -> None:
    rows = rows_with_ids(root, ["a", "b"])
    first = write(root, rows)
    whole, listed = first.digest, first.list_digest
    rows[0]["labels"] = [1]
    changed = write(root, rows)
    assert (changed.digest != whole, changed.list_digest == listed) == (True, True)
    assert write(root, rows_with_ids(root, ["a", "c"])).list_digest != listed


# Photos


def test_a_photo_is_made_smaller_upright_and_in_proportion(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(root / "raw/turned.jpg", (400, 200), exif=exif)
    read = write(root, [row(root, "a", "turned.jpg")], params.Prepare(short_side=50))
    image = Image.open(io.BytesIO(read.jpeg(0)))
    assert (image.format, image.size, image.getexif().get(0x0112, 1)) == ("JPEG", (50, 100), 1)
    assert read.sha256 == [files.digest(root / "raw/turned.jpg")]


def test_a_small_photo_is_not_enlarged(root: Path) -> None:
    assert (
        write(root, rows_with_ids(root, ["a"]), params.Prepare(short_side=8)).jpeg(0)
        == (root / "raw/one.jpg").read_bytes()
    )


def test_quality_is_that_of_the_settings(root: Path) -> None:
    picture(root / "raw/large.png", (200, 100))
    sizes = [
        len(write(root, [row(root, "a", "large.png")], params.Prepare(short_side=80, quality=quality)).jpeg(0))
        for quality in (30, 95)
    ]
    assert sizes[0] < sizes[1] / 2


# What can go wrong


def test_a_missing_or_changed_photo_is_refused_and_leaves_the_old_shards(root: Path) -> None:
    before = write(root, rows_with_ids(root, ["a"])).digest
    rows = rows_with_ids(root, ["a", "b"])
    (root / "raw/one.jpg").write_bytes(b"something else")
    with pytest.raises(SadclError, match=r"changed since ingest .*one\.jpg.*dvc repro"):
        write(root, rows)
    (root / "raw/one.jpg").unlink()
    with pytest.raises(SadclError, match=r"can no longer be read.*one\.jpg"):
        write(root, rows)
    assert Shards(root / "shards/train").digest == before
    assert sorted(path.name for path in (root / "shards").iterdir()) == sorted(table.SPLITS)


def test_a_full_disk_is_reported_and_leaves_the_old_shards(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = write(root, rows_with_ids(root, ["a"])).digest
    real = pa.OSFile
    monkeypatch.setattr(pa, "OSFile", lambda path, mode: real("/dev/full", mode))
    with pytest.raises(SadclError, match="The disk is full; no partial file was written"):
        write(root, rows_with_ids(root, ["a", "b"]))
    assert Shards(root / "shards/train").digest == before
    assert sorted(path.name for path in (root / "shards").iterdir()) == sorted(table.SPLITS)


def truncate(folder: Path) -> None:
    path = min(folder.glob("*.arrow"))
    path.write_bytes(path.read_bytes()[:-100])


def zero_shard(folder: Path) -> None:
    path = min(folder.glob("*.arrow"))
    path.write_bytes(bytes(path.stat().st_size))


def delete_shard(folder: Path) -> None:
    min(folder.glob("*.arrow")).unlink()


def add_foreign_shard(folder: Path) -> None:
    (folder / "stranger.arrow").write_bytes(b"")


def mix(folder: Path) -> None:
    """Replace a shard by one of another data set, and adapt the index."""
    root = folder.parents[1]
    writer.write_shards(photo_table(rows_with_ids(root, ["x"]), ("car",)), root, root / "other", PREPARE, 1)
    foreign = files.read_json(root / "other/train/index.json")["shards"]
    index = files.read_json(folder / "index.json")
    shutil.copy(root / "other/train" / foreign[0]["file"], folder)
    files.write_json(folder / "index.json", {**index, "shards": index["shards"] + foreign})


def forget_ids(folder: Path) -> None:
    """A whole shard, as the index describes it, whose rows have no id."""
    path = next(folder.glob("*.arrow"))
    with pa.memory_map(str(path)) as opened:
        table = pa.ipc.open_file(opened).read_all()
    number = table.schema.get_field_index("image_id")
    table = table.set_column(number, "image_id", pa.nulls(len(table), pa.string()))
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as file:
        file.write_table(table)
    index = files.read_json(folder / "index.json")
    for shard in index["shards"]:
        if shard["file"] == path.name:
            shard |= {"bytes": path.stat().st_size, "sha256": files.digest(path)}
    files.write_json(folder / "index.json", index)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (truncate, "should have"),
        (zero_shard, "damaged"),
        (delete_shard, "The shard is missing"),
        (add_foreign_shard, "belongs to no shard"),
        (mix, "different data sets"),
        (forget_ids, "no shard of this format"),
        (shutil.rmtree, "There are no shards"),
        (lambda folder: (folder / "index.json").unlink(), "missing"),
        (lambda folder: (folder / "index.json").write_text("[1]"), "no index of shards"),
        (lambda folder: (folder / "index.json").write_text("{"), "not JSON"),
    ],
)
def test_damaged_shards_are_refused(root: Path, damage: Any, words: str) -> None:
    write(root, rows_with_ids(root, drawn(1, 20)))
    damage(root / "shards/train")
    with pytest.raises(SadclError, match=f"{words}.*dvc repro prepare"):
        Shards(root / "shards/train")


def test_a_label_without_class_is_refused(root: Path) -> None:
    rows = rows_with_ids(root, ["a"])
    rows[0]["labels"] = [3]
    with pytest.raises(SadclError, match="unknown class"):
        write(root, rows)


# The stage


@pytest.fixture
def project(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(root)
    shutil.copy(RECIPE, "params.yaml")
    table.write_table(layout.TABLE, photo_table(rows_with_ids(root, ["a", "b"])))
    return root


def test_the_stage_writes_validated_data(project: Path) -> None:
    files.write_json(layout.VALIDATION, {"passed": True})
    assert prepare.main() == "2 train, 0 select, 0 test photos in data/shards"
    assert Shards(project / "data/shards/train").ids == ["a", "b"]


@pytest.mark.parametrize("result", [{"passed": False}, {}, None])
def test_the_stage_refuses_data_that_failed_validation(project: Path, result: Any) -> None:
    layout.VALIDATION.parent.mkdir()
    layout.VALIDATION.write_text(json.dumps(result))
    with pytest.raises(SadclError, match="has not passed"):
        prepare.main()
    assert not (project / "data/shards").exists()
