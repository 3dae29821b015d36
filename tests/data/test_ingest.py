"""Ingest: each photo is read once, bad photos have a problem, and splits are stable."""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sadcl import layout, params
from sadcl.data import photo_cache, table
from sadcl.data.images import decode, heif, inspect
from sadcl.data.ingest import ingest
from sadcl.errors import SadclError
from sadcl.stages import ingest as stage
from tests.paths import REPOSITORY

OWN = "data/raw/own"


def photo(path: Path, seed: int, size: tuple[int, int] = (40, 30)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, "JPEG")


def instances(ids: Sequence[int], labels: dict[int, list[int]]) -> dict[str, Any]:
    return {
        "images": [{"id": i, "file_name": f"{i}.jpg"} for i in ids],
        "annotations": [{"image_id": i, "category_id": c} for i, classes in labels.items() for c in classes],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}, {"id": 3, "name": "unicorn"}],
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Ten photos to train on and three to test on; no unicorn, two photos without a label."""
    source = tmp_path / OWN
    for i in range(13):
        photo(source / f"photos/{i}.jpg", i)
    labels = {i: [1] if i % 2 else [1, 2] for i in range(9)}
    (source / "train.json").write_text(json.dumps(instances(range(10), labels)))
    (source / "test.json").write_text(json.dumps(instances(range(10, 13), {10: [2], 11: [1]})))
    return tmp_path


def settings(**changes: Any) -> params.Ingest:
    defaults = {
        "source": "own",
        "annotations": {"train": "train.json", "test": "test.json"},
        "images": {"train": "photos", "test": "photos"},
        "select_fraction": 0.3,
    }
    return params.Ingest.model_validate({**defaults, **changes})


def ingested(root: Path, seed: int = 1, **changes: Any) -> table.Table:
    return ingest(root, OWN, settings(**changes), seed, root / ".cache", workers=3)


def test_ingest_builds_the_table(root: Path) -> None:
    result = ingested(root)
    frame = result.frame
    assert list(frame.columns) == list(table.SCHEMA)
    assert result.classes == ("cat", "dog", "unicorn")
    assert result.source == OWN
    assert len(frame) == 13
    assert frame["problem"].isna().all()
    assert set(zip(frame["width"], frame["height"], strict=True)) == {(40, 30)}
    order = [(table.SPLITS.index(split), name) for split, name in zip(frame["split"], frame["image_id"], strict=True)]
    assert order == sorted(order)
    assert {split: entry["images"] for split, entry in result.protocol.items()} == {
        split: int((frame["split"] == split).sum()) for split in table.SPLITS
    }
    assert result.protocol["select"]["images"] == 3
    by_id = frame.set_index("image_id")
    assert by_id.loc["2", "labels"] == [0, 1]
    assert by_id.loc["9", "labels"] == []
    assert by_id.loc["12", "split"] == "test"


def test_equal_sources_give_equal_bytes(root: Path) -> None:
    table.write_table(root / "a", ingested(root))
    table.write_table(root / "b", ingested(root))  # now from the cache
    table.write_table(root / "c", ingest(root, OWN, settings(), 1, root / "elsewhere", workers=1))
    assert (root / "a").read_bytes() == (root / "b").read_bytes() == (root / "c").read_bytes()


def test_nothing_to_select(root: Path) -> None:
    result = ingested(root, select_fraction=0.0)
    assert result.protocol["select"]["images"] == 0
    assert result.protocol["train"]["images"] == 10


def test_a_select_of_its_own_is_left_alone(root: Path) -> None:
    (root / OWN / "select.json").write_text(json.dumps(instances([], {})))
    annotations = {"train": "train.json", "select": "select.json", "test": "test.json"}
    assert ingested(root, annotations=annotations).protocol["select"]["images"] == 0


def test_unlabelled_photos_may_be_left_out(root: Path) -> None:
    assert set(ingested(root).frame["image_id"]) - set(ingested(root, keep_unlabelled=False).frame["image_id"]) == {
        "9",
        "12",
    }


def test_photos_that_are_not_labelled_yet_have_every_class_ignored(root: Path) -> None:
    frame = ingested(root, keep_unlabelled="unknown").frame.set_index("image_id")
    assert {name: list(ignored) for name, ignored in frame["ignored"].items() if len(ignored)} == {
        "9": [0, 1, 2],
        "12": [0, 1, 2],
    }


def test_answers_about_single_classes_stay_although_others_are_unknown(root: Path) -> None:
    (root / OWN / "flags.csv").write_text("file,cup,plate\n1.jpg,1,0\n2.jpg,0,-1\n3.jpg,0,0\n")
    changes = {"format": "csv", "annotations": {"train": "flags.csv"}, "images": {"train": "photos"}}
    frame = ingested(root, keep_unlabelled="unknown", **changes).frame.set_index("file")
    assert {name: list(ignored) for name, ignored in frame["ignored"].items()} == {
        "photos/1.jpg": [], "photos/2.jpg": [1], "photos/3.jpg": [0, 1],
    }  # fmt: skip


def test_bad_photos_are_rows_with_a_problem(root: Path) -> None:
    folder = root / OWN / "photos"
    (folder / "1.jpg").unlink()
    (folder / "2.jpg").write_bytes(b"")
    (folder / "3.jpg").write_bytes((folder / "3.jpg").read_bytes()[:-200])
    (folder / "4.jpg").write_text("no photo")
    photo(folder / "5.jpg", 5, (90, 90))
    problems = ingested(root, max_pixels=8000).frame.set_index("image_id")["problem"].dropna()
    reasons = {"1": "missing", "2": "empty", "3": "truncated", "4": "not an image", "5": "at most 8,000"}
    assert set(problems.index) == set(reasons)
    assert all(reasons[name] in problem for name, problem in problems.items())


def test_photos_of_other_names_and_formats_are_used(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    heif.register()
    photos = root / OWN / "photos"
    (photos / "0.jpg").rename(photos / "0.JPG")
    Image.open(photos / "1.jpg").save(photos / "1.heic", "HEIF")
    (photos / "1.jpg").unlink()
    (photos / "@eaDir/2.jpg").mkdir(parents=True)
    (photos / "2.jpg").rename(photos / "@eaDir/2.jpg/2.jpg")
    (photos / "3.jpg").rename(photos / "3.png")
    (photos / "4.jpg").rename(photos / "4.JPG")
    photo(photos / "4.Jpg", 99)
    frame = ingested(root).frame.set_index("image_id")
    assert "3 photos have another name on the disk than in the list: 'photos/0.jpg' is" in capsys.readouterr().out
    files = [frame.loc[name, "file"] for name in "013"]
    assert files == ["photos/0.JPG", "photos/1.heic", "photos/3.png"]
    assert frame.loc[list("013"), "problem"].isna().all()
    assert frame.loc["2", "problem"] == "The file is missing"
    assert frame.loc["4", "problem"] == (
        "The file is missing, and several fit its name: 'photos/4.JPG', 'photos/4.Jpg'"
    )


def test_an_empty_source_is_refused(root: Path) -> None:
    for name in ("train", "test"):
        (root / OWN / f"{name}.json").write_text(json.dumps(instances([], {})))
    with pytest.raises(SadclError, match="no image"):
        ingested(root)


def test_one_image_only(root: Path) -> None:
    (root / OWN / "train.json").write_text(json.dumps(instances([0], {0: [1]})))
    (root / OWN / "test.json").write_text(json.dumps(instances([], {})))
    assert ingested(root).frame["split"].tolist() == ["train"]


class Decodings:
    """Counts how often a photo was read and decoded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.read = self.decoded = 0
        self._inspect, self._decode = inspect.inspect, decode.pixels
        monkeypatch.setattr(photo_cache, "inspect", self.inspect)
        monkeypatch.setattr(decode, "pixels", self.decode)

    def inspect(self, *args: Any) -> inspect.PhotoInfo:
        self.read += 1
        return self._inspect(*args)

    def decode(self, *args: Any, **options: Any) -> np.ndarray:
        self.decoded += 1
        return self._decode(*args, **options)


def test_photos_are_read_once_and_cached(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = Decodings(monkeypatch)
    first = ingested(root)
    assert (counts.read, counts.decoded) == (13, 13)
    ingested(root)
    assert (counts.read, counts.decoded) == (13, 13)
    os.utime(root / OWN / "photos/3.jpg", ns=(1, 1))  # touched: read again, but the digest is known
    ingested(root)
    assert (counts.read, counts.decoded) == (14, 13)
    photo(root / OWN / "photos/3.jpg", 99)
    changed = ingested(root)
    assert (counts.read, counts.decoded) == (15, 14)
    assert (first.frame["sha256"] != changed.frame["sha256"]).sum() == 1


class CountingPool(ThreadPoolExecutor):
    """Counts the tasks that were submitted."""

    submitted = 0

    def submit(self, *args: Any, **options: Any) -> Future[Any]:
        CountingPool.submitted += 1
        return super().submit(*args, **options)


def test_few_photos_wait_for_their_turn(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting: list[int] = []

    def track(facts: Iterable[Any], *_: Any, **options: Any) -> Iterator[Any]:
        for i, fact in enumerate(facts):
            waiting.append(CountingPool.submitted - i)
            yield fact

    monkeypatch.setattr("sadcl.data.ingest.ThreadPoolExecutor", CountingPool)
    monkeypatch.setattr("sadcl.data.ingest.track", track)
    monkeypatch.setattr("sadcl.data.ingest.AHEAD", 4)
    ingested(root)
    assert (len(waiting), max(waiting)) == (13, 5)


def test_another_pixel_limit_reads_photos_again(root: Path) -> None:
    assert ingested(root).frame["problem"].isna().all()
    assert ingested(root, max_pixels=1000).frame["problem"].notna().all()
    assert ingested(root).frame["problem"].isna().all()


def test_a_repaired_photo_is_read_again(root: Path) -> None:
    path = root / OWN / "photos/3.jpg"
    whole = path.read_bytes()
    path.write_bytes(b"\0" * len(whole))
    assert ingested(root).frame["problem"].notna().sum() == 1
    path.write_bytes(whole)
    assert ingested(root).frame["problem"].isna().all()


@pytest.mark.parametrize("damage", [b"", b"PAR1 no such luck PAR1", b"\0" * 100])
def test_a_damaged_cache_is_ignored(root: Path, damage: bytes) -> None:
    before = ingested(root)
    cache = root / ".cache/photos.parquet"
    cache.write_bytes(damage)
    assert ingested(root).frame.equals(before.frame)
    assert cache.read_bytes() != damage


def test_a_foreign_cache_is_ignored(root: Path) -> None:
    before = ingested(root)
    before.frame.to_parquet(root / ".cache/photos.parquet")
    assert ingested(root).frame.equals(before.frame)


def own_photos(root: Path, count: int) -> None:
    source = root / OWN
    for i in range(count):
        photo(source / f"{i}.jpg", i)
    lines = [f"{i}.jpg,{'dog;cat' if i % 3 else 'dog'},{'night' if i % 2 else ''}" for i in range(count)]
    (source / "labels.csv").write_text("\n".join(["file,labels,light", *lines]))


@pytest.mark.parametrize("header", ["filename,label,ignored", "filename,label,place,place"])
def test_a_reserved_or_repeated_column_of_rows_is_refused(root: Path, header: str) -> None:
    own_photos(root, 4)
    cells = ["cup", "dark", "Rome"][: header.count(",")]
    rows = [",".join([f"{i % 4}.jpg", *cells]) for i in range(8)]
    (root / OWN / "labels.csv").write_text("\n".join([header, *rows]))
    changes = {"format": "rows", "annotations": {"train": "labels.csv"}, "images": {"train": "."}}
    with pytest.raises(SadclError, match=rf"column '{header.split(',')[-1]}' (has|occurs)"):
        ingested(root, **changes)
    assert not (root / f"{OWN}.splits.csv").exists()


def test_columns_of_boxes_are_not_read_and_may_repeat(root: Path) -> None:
    own_photos(root, 4)
    rows = [f"{i % 4}.jpg,cup,1,2,3,4" for i in range(8)]
    (root / OWN / "labels.csv").write_text("\n".join(["filename,label,xmin,ymin,x,x", *rows]))
    changes = {"format": "rows", "annotations": {"train": "labels.csv"}, "images": {"train": "."}}
    assert len(ingested(root, **changes).frame) == 4


def test_a_column_of_labels_next_to_the_one_that_is_read(root: Path) -> None:
    own_photos(root, 4)
    rows = [f"{i % 4}.jpg,{'cup' if i % 2 else 'bowl'},old" for i in range(8)]
    (root / OWN / "labels.csv").write_text("\n".join(["filename,class,labels", *rows]))
    changes = {"annotations": {"train": "labels.csv"}, "images": {"train": "."}, "labels": "class"}
    result = ingested(root, format="rows", **changes)
    assert (result.classes, result.slices) == (("bowl", "cup"), [])
    table.write_table(root / "table.parquet", result)


def test_new_photos_are_assigned_and_old_ones_keep_their_splits(root: Path) -> None:
    csv = {"format": "csv", "annotations": {"train": "labels.csv"}, "images": {"train": "."}}
    own_photos(root, 20)
    first = ingested(root, **csv)
    assert set(first.frame["split"]) == {"train", "select", "test"}
    assert first.slices == ["light"]
    own_photos(root, 30)
    second = ingested(root, seed=2, **csv).frame.set_index("image_id")["split"]
    assert second[first.frame["image_id"]].tolist() == first.frame["split"].tolist()
    assert len(second) == 30
    assert (root / f"{OWN}.splits.csv").read_text().startswith("file,split,sha256\n0.jpg,")
    assert not list((root / OWN).glob("*splits*"))  # inside the source it would make the stage stale


def test_near_duplicates_stay_together_and_later_ones_join(root: Path) -> None:
    csv = {"format": "csv", "annotations": {"train": "labels.csv"}, "images": {"train": "."}}
    source = root / OWN

    def copies(names: Sequence[str]) -> "pd.Series[Any]":
        """Twelve pictures, each once for every name, in ever poorer quality."""
        for i in range(12):
            picture = np.random.default_rng(i).integers(0, 256, (6, 8, 3), dtype=np.uint8)
            for quality, name in zip((95, 70, 50), names, strict=False):
                large = Image.fromarray(picture).resize((320, 240), Image.Resampling.BICUBIC)
                large.save(source / f"{i}{name}.jpg", quality=quality)
        lines = [f"{i}{name}.jpg,{'dog;cat' if i % 3 else 'dog'}" for i in range(12) for name in names]
        (source / "labels.csv").write_text("\n".join(["file,labels", *lines]))
        return ingested(root, **csv).frame.set_index("image_id")["split"]

    first = copies(["a", "b"])
    assert set(first) == {"train", "select", "test"}
    assert all(first[f"{i}a.jpg"] == first[f"{i}b.jpg"] for i in range(12))
    second = copies(["a", "b", "c"])
    assert all(second[f"{i}c.jpg"] == second[f"{i}a.jpg"] == first[f"{i}a.jpg"] for i in range(12))


def test_an_unreadable_photo_gets_its_final_split_once_it_is_readable(root: Path) -> None:
    csv = {"format": "csv", "annotations": {"train": "labels.csv"}, "images": {"train": "."}}
    own_photos(root, 20)
    (root / OWN / "7.jpg").write_bytes(b"")
    assert ingested(root, **csv).frame["problem"].notna().sum() == 1
    assert "\n7.jpg," not in (root / f"{OWN}.splits.csv").read_text()
    photo(root / OWN / "7.jpg", 7)
    ingested(root, **csv)
    assert "\n7.jpg," in (root / f"{OWN}.splits.csv").read_text()


def test_a_csv_without_splits_needs_a_share(root: Path) -> None:
    own_photos(root, 5)
    with pytest.raises(SadclError, match="select_fraction"):
        ingested(root, format="csv", annotations={"train": "labels.csv"}, images={"train": "."}, select_fraction=0.0)


def test_the_stage(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = params.read_settings(REPOSITORY / "recipes/demo.yaml")
    recipe["ingest"] = settings().model_dump(mode="json")
    (root / "params.yaml").write_text(json.dumps(recipe))
    monkeypatch.chdir(root)
    monkeypatch.setenv("SADCL_WORKERS", "2")
    assert stage.main() == "13 rows in data/table/annotations.parquet"
    assert len(table.read_table(root / layout.TABLE).frame) == 13
    (root / OWN / "photos/1.jpg").unlink()
    assert "1 with a problem" in stage.main()
