"""LabelMe: labels of shapes and flags, photos by name, splits by folder, and refused files."""

import json
import posixpath
from pathlib import Path
from typing import Any

import pytest

from tests.data.sources.reading import by_file, labels_of, put, read, recognised, refused, splits_of


def labelled(photo: str, *names: str, **more: Any) -> str:
    shapes = [{"label": name, "points": [[1, 2]], "shape_type": "polygon", "flags": {}} for name in names]
    value = {"version": "5.0.1", "flags": {}, "shapes": shapes, "imagePath": photo, "imageData": None, **more}
    return json.dumps(value)


def test_shapes_and_flags(tmp_path: Path) -> None:
    put(tmp_path, {"1.json": labelled("1.jpg", "cup", "cup", "no"), "a/2.json": labelled(r"..\a\2.png", "plate")})
    put(tmp_path, {"3.json": labelled("old.jpg", flags={"blurred": True, "cup": False, "dark": False})})
    put(tmp_path, {"1.jpg": "", "a/2.png": "", "3.jpg": "", "old.jpg": ""})
    assert recognised(tmp_path / "1.json") == "labelme"
    source = read(tmp_path, "labelme", ".")
    assert source.classes == ("blurred", "cup", "dark", "no", "plate")
    assert labels_of(source) == {"1.jpg": {"cup", "no"}, "a/2.png": {"plate"}, "3.jpg": {"blurred"}}


def test_splits_and_photos_in_another_folder(tmp_path: Path) -> None:
    for split in ("train", "val"):
        put(
            tmp_path,
            {f"labels/{split}/1.json": labelled(f"../../images/{split}/1.jpg", "cup"), f"images/{split}/1.jpg": ""},
        )
    assert splits_of(read(tmp_path, "labelme", "labels")) == {"images/train/1.jpg": "train", "images/val/1.jpg": "test"}
    folders = {"train": "labels/train", "test": "labels/val"}
    source = read(tmp_path, "labelme", folders)
    assert splits_of(source) == {"images/train/1.jpg": "train", "images/val/1.jpg": "test"}


BAD = {
    "cut off": (labelled("1.jpg", "cup")[:-9], "not JSON"),
    "no shapes": ("{}", "no list of shapes"),
    "a label of no kind": (json.dumps({"shapes": [{"label": 3}], "imagePath": "1.jpg"}), "3 is not the name"),
    "flags of no kind": (labelled("1.jpg", flags=[1]), "another type"),
    "a photo outside": (labelled("../../../1.jpg", "cup"), "leaves the data root"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused(tmp_path: Path, name: str) -> None:
    put(tmp_path, {"a.json": BAD[name][0]})
    refused(BAD[name][1] + ".*a.json", tmp_path, "labelme", ".")


def test_a_link_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").symlink_to("elsewhere.json")
    refused("The file is missing.*a.json", tmp_path, "labelme", ".")


def test_a_photo_inside_the_file_does_not_hide_its_format(tmp_path: Path) -> None:
    put(tmp_path, {"a.json": labelled("1.jpg", "cup", imageData="A" * 2_000_000), "b.json": BAD["cut off"][0]})
    assert [recognised(tmp_path / name) for name in ("a.json", "b.json")] == ["labelme"] * 2


def test_a_label_without_a_test_photo_is_absent_there(tmp_path: Path) -> None:
    put(tmp_path, {"train/1.json": labelled("1.jpg", "cup", "pan"), "test/2.json": labelled("2.jpg", "cup")})
    source = read(tmp_path, "labelme", {"train": "train", "test": "test"})
    assert by_file(source)["test/2.jpg"] == ("test", {"cup"}, set())


@pytest.mark.parametrize(
    ("photos", "files"), [("{0}/", "{0}/"), ("", "{0}/"), ("{0}/", "")], ids=["both", "files alone", "photos alone"]
)
@pytest.mark.parametrize("folder", ["annotations", "l", "test/labels"])
def test_folders_of_files_or_photos_give_the_splits(tmp_path: Path, folder: str, photos: str, files: str) -> None:
    above = "test/" if "/" in folder else ""
    for number, split in enumerate(("train", "val", "test")):
        photo = f"{above}images/{photos.format(split)}{number}.jpg"
        file = f"{folder}/{files.format(split)}{number}.json"
        put(tmp_path, {file: labelled(posixpath.relpath(photo, posixpath.dirname(file)), "cup"), photo: ""})
    splits = splits_of(read(tmp_path, "labelme", folder))
    assert {name[-5]: split for name, split in splits.items()} == {"0": "train", "1": "select", "2": "test"}


def test_a_photo_next_to_its_file_is_nearer_than_one_of_its_name_elsewhere(tmp_path: Path) -> None:
    put(tmp_path, {"a/1.json": labelled("1.jpg", "cup"), "a/1.jpg": "", "images/1.jpg": "", "a/images/1.jpg": ""})
    assert labels_of(read(tmp_path, "labelme", "a")) == {"a/1.jpg": {"cup"}}
    assert labels_of(read(tmp_path, "labelme", "a", images={"train": "images"})) == {"images/1.jpg": {"cup"}}


@pytest.mark.parametrize("folder", ["../outside", "images/../../outside", "/etc", ".."])
def test_a_folder_of_photos_outside_the_source_is_refused(tmp_path: Path, folder: str) -> None:
    put(tmp_path, {"own/1.json": labelled("1.jpg", "cup"), "own/1.jpg": "", "outside/1.jpg": ""})
    refused("leaves the data root.*ingest.images", tmp_path / "own", "labelme", ".", images={"train": folder})
