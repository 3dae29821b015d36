"""Datumaro JSON: labels by index, subsets as splits, parts of skeletons, and refused files."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.data.sources.reading import by_file, labels_of, put, read, recognised, refused


def export(photos: dict[str, Any], *names: str, **more: Any) -> str:
    labels = [{"name": name, "parent": "", "attributes": []} for name in names or ("cup", "plate")]
    listed = [
        {"id": name.rpartition(".")[0], "annotations": [{"type": "label", "label_id": i} for i in ids], "attr": {}}
        | {"image": {"path": name, "size": [3, 4]}}
        for name, ids in photos.items()
    ]
    value = {"info": {}, "categories": {"label": {"labels": labels}}, "items": listed}
    return json.dumps({**value, **more})


def test_the_export_of_one_task(tmp_path: Path) -> None:
    text = export({"1.jpg": [1, 0, 1], "2.jpg": []}, "plate", "cup", "pan")
    put(tmp_path, {"annotations/default.json": text, "images/default/1.jpg": "", "images/default/2.jpg": ""})
    assert recognised(tmp_path / "annotations/default.json") == "datumaro"
    source = read(tmp_path, "datumaro", "annotations/default.json")
    assert source.classes == ("plate", "cup", "pan")
    assert labels_of(source) == {"images/default/1.jpg": {"plate", "cup"}, "images/default/2.jpg": set()}


def test_subsets_are_splits_and_classes_are_matched_by_name(tmp_path: Path) -> None:
    put(tmp_path, {"a/annotations/Train.json": export({"1.jpg": [0]}, "cup", "plate")})
    put(tmp_path, {"a/annotations/Validation.json": export({"2.jpg": [0]}, "plate", "cup"), "a/images/1.jpg": ""})
    both = {"train": ["a/annotations/Train.json", "a/annotations/Validation.json"]}
    source = read(tmp_path, "datumaro", both)
    assert source.classes == ("cup", "plate")
    assert by_file(source) == {
        "a/images/1.jpg": ("train", {"cup"}, set()),
        "a/annotations/2.jpg": ("test", {"plate"}, set()),
    }


def test_parts_of_skeletons_are_no_classes_unless_a_photo_has_them(tmp_path: Path) -> None:
    labels = [{"name": "hand", "parent": ""}, {"name": "thumb", "parent": "hand"}]
    skeleton = {"type": "skeleton", "label_id": 0, "elements": [{"type": "points", "label_id": 1}]}
    value = {"categories": {"label": {"labels": labels}}, "items": [{"id": "1", "annotations": [skeleton]}]}
    put(tmp_path, {"x.json": json.dumps(value)})
    assert read(tmp_path, "datumaro", "x.json").classes == ("hand",)
    value["items"].append({"id": "2", "media": {"path": "b/2.png"}, "annotations": [{"label_id": 1}]})  # type: ignore[attr-defined]
    put(tmp_path, {"x.json": json.dumps(value)})
    assert labels_of(read(tmp_path, "datumaro", "x.json")) == {"1": {"hand"}, "b/2.png": {"thumb"}}


BAD = {
    "cut off": (export({"1.jpg": [0]})[:-30], "not JSON"),
    "an unknown class": (export({"1.jpg": [2]}), "label_id 2 is not the index of one of the 2 classes.*item 1"),
    "a negative index": (export({"1.jpg": [-1]}), "label_id -1"),
    "a truth value": (export({"1.jpg": [True]}), "label_id True"),
    "no classes": (export({"1.jpg": [0]}, categories={}), "no list categories.label.labels"),
    "no items": (export({}, items={}), "no list of items"),
    "a blank class": (export({"1.jpg": [0]}, " "), "not the name of a class"),
    "no photo": (export({}, items=[{"annotations": []}]), "names no photo"),
    "a name that leaves the source": (export({"a/../../../../../x.jpg": [0]}), "leaves the data root"),
    "nested": ("[" * 100_000, "not JSON"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused(tmp_path: Path, name: str) -> None:
    put(tmp_path, {"x.json": BAD[name][0]})
    refused(BAD[name][1], tmp_path, "datumaro", "x.json")


def test_a_damaged_export_is_still_recognised(tmp_path: Path) -> None:
    put(tmp_path, {"x.json": BAD["cut off"][0]})
    assert recognised(tmp_path / "x.json") == "datumaro"
