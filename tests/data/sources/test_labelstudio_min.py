"""Label Studio's flat exports: choices and shapes in JSON-MIN and CSV, several annotators, and columns of labels."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from tests.data.sources.reading import by_file, labels_of, put, read, recognised, refused


def record(number: int, name: str, **fields: Any) -> dict[str, Any]:
    about = {"annotation_id": number, "annotator": 1, "created_at": "2026-01-05T10:00:00Z", "lead_time": 3.5}
    return {"id": number, "image": f"/data/upload/1/0a1b2c3d-{name}", **fields, **about}


def as_csv(records: list[dict[str, Any]], mark: str = ",") -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, sorted({key for item in records for key in item}), delimiter=mark)
    writer.writeheader()
    writer.writerows({k: json.dumps(v) if isinstance(v, dict | list) else v for k, v in r.items()} for r in records)
    return out.getvalue()


FORMS = {
    "export.json": json.dumps,
    "export.csv": as_csv,
    "export.tsv": lambda records: as_csv(records, "\t"),
}
PHOTOS = {"photos/1.jpg": "", "photos/2.jpg": "", "photos/3.jpg": ""}


@pytest.mark.parametrize("name", FORMS)
def test_choices_and_shapes(tmp_path: Path, name: str) -> None:
    shape = {"x": 1.5, "y": 2, "rotation": 0, "original_width": 4}
    records = [
        record(1, "1.jpg", choice="cup", box=[{**shape, "rectanglelabels": ["hand"]}, shape]),
        record(2, "2.jpg", choice={"choices": ["cup", "a, b"]}, box=[]),
        record(3, "3.jpg", choice="", box=""),
    ]
    put(tmp_path, {**PHOTOS, name: FORMS[name](records)})
    assert recognised(tmp_path / name) == "labelstudio_min"
    source = read(tmp_path, "labelstudio_min", name, images={"train": "photos"})
    assert labels_of(source) == {
        "photos/1.jpg": {"cup", "hand"},
        "photos/2.jpg": {"cup", "a, b"},
        "photos/3.jpg": set(),
    }
    assert not source.notes
    assert not source.images[0].slices


@pytest.mark.parametrize("name", FORMS)
def test_labels_on_which_annotators_differ_are_neither(tmp_path: Path, name: str) -> None:
    chosen = [["cup", "pan"], ["cup"]]
    records = [
        {**record(1, "1.jpg", choice={"choices": names}), "annotation_id": i} for i, names in enumerate(chosen, 1)
    ]
    put(tmp_path, {**PHOTOS, name: FORMS[name](records)})
    source = read(tmp_path, "labelstudio_min", name, images={"train": "photos"})
    assert by_file(source) == {"photos/1.jpg": ("", {"cup"}, {"pan"})}


@pytest.mark.parametrize("name", FORMS)
def test_photos_that_nobody_finished_are_no_negatives(tmp_path: Path, name: str) -> None:
    records = [record(1, "1.jpg", choice="cup"), {**record(2, "2.jpg", choice=None), "annotation_id": None}]
    put(tmp_path, {**PHOTOS, name: FORMS[name](records)})
    assert labels_of(read(tmp_path, "labelstudio_min", name, images={"train": "photos"})) == {"photos/1.jpg": {"cup"}}


def test_columns_that_are_no_labels_are_slices_and_named(tmp_path: Path) -> None:
    put(tmp_path, {"a.json": json.dumps([record(1, "1.jpg", choice="cup", camera="north", note="[blurred] edge")])})
    source = read(tmp_path, "labelstudio_min", "a.json")
    assert source.classes == ("cup",)
    assert source.images[0].slices == {"camera": "north", "note": "[blurred] edge"}
    assert source.notes == ["Columns that are no labels: camera, note"]


def test_splits_and_columns_that_the_table_computes(tmp_path: Path) -> None:
    records = [record(i, f"{i}.jpg", choice="cup", split=name, width=3) for i, name in ((1, "Train"), (2, "val"))]
    put(tmp_path, {"a.json": json.dumps(records)})
    source = read(tmp_path, "labelstudio_min", "a.json")
    assert [(image.split, image.slices) for image in source.images] == [("train", {}), ("test", {})]


def test_a_taxonomy_gives_each_part_of_its_paths(tmp_path: Path) -> None:
    paths = {"taxonomy": [["food", "bread"], ["dish"]]}
    put(tmp_path, {"a.json": json.dumps([record(1, "1.jpg", kind=paths)])})
    assert labels_of(read(tmp_path, "labelstudio_min", "a.json")) == {"0a1b2c3d-1.jpg": {"food", "bread", "dish"}}
    task = {"data": {"image": "1.jpg"}, "annotations": [{"result": [{"type": "taxonomy", "value": paths}]}]}
    put(tmp_path, {"b.json": json.dumps([task])})
    assert recognised(tmp_path / "b.json") == "labelstudio"
    assert labels_of(read(tmp_path, "labelstudio", "b.json")) == {"1.jpg": {"food", "bread", "dish"}}


def test_a_photo_of_another_key_by_its_url(tmp_path: Path) -> None:
    item = {"id": 1, "annotator": 1, "picture": "https://host/x/1.jpg?key=2", "choice": "cup"}
    put(tmp_path, {"a.json": json.dumps([item])})
    assert labels_of(read(tmp_path, "labelstudio_min", "a.json")) == {"1.jpg": {"cup"}}


BAD: dict[str, tuple[Any, str]] = {
    "no labels": ([record(1, "1.jpg", mood="a", place="b")], "unknown which column has the labels: 'mood', 'place'"),
    "a choice of two controls": ([record(1, "1.jpg", choice="yes", label="yes")], "a choice of two controls"),
    "no photo": ([{"id": 1, "annotator": 2, "choice": "cup"}], "does not name its photo"),
    "no list": ({"a": 1}, "not a list of records"),
    "labels of no kind": ([record(1, "1.jpg", choice={"choices": "cup"})], "not a list of names"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused(tmp_path: Path, name: str) -> None:
    put(tmp_path, {"a.json": json.dumps(BAD[name][0])})
    refused(BAD[name][1], tmp_path, "labelstudio_min", "a.json")


def test_damaged_exports(tmp_path: Path) -> None:
    text = json.dumps([record(1, "1.jpg", choice={"choices": ["cup"]})])
    put(tmp_path, {"cut.json": text[:-9], "cut.csv": as_csv(json.loads(text)).replace("]}", "")})
    assert [recognised(tmp_path / name) for name in ("cut.json", "cut.csv")] == ["labelstudio_min"] * 2
    refused("not JSON.*cut.json", tmp_path, "labelstudio_min", "cut.json")
    refused("'choice' is not JSON.*line 2", tmp_path, "labelstudio_min", "cut.csv")


def test_the_only_column_that_may_be_labels_is_one(tmp_path: Path) -> None:
    put(tmp_path, {"a.csv": as_csv([record(1, "1.jpg", dish="cup")]), "b.csv": "file,labels,id\n1.jpg,cup,3\n"})
    assert labels_of(read(tmp_path, "labelstudio_min", "a.csv")) == {"0a1b2c3d-1.jpg": {"cup"}}
    assert recognised(tmp_path / "b.csv") == "csv"


def test_a_photo_in_two_splits_is_refused(tmp_path: Path) -> None:
    records = [record(i, "1.jpg", choice="cup", split=split) for i, split in enumerate(("test", "", "train"), 1)]
    put(tmp_path, {**PHOTOS, "a.json": json.dumps(records)})
    refused(r"'photos/1\.jpg' is in two splits.*record 3", tmp_path, "labelstudio_min", "a.json",
            images={"train": "photos"})  # fmt: skip
