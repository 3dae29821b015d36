"""YOLO as tools and scripts write it: class ids and names that changed form, Darknet, paths of another computer."""

from pathlib import Path

import pytest

from tests.data.sources.reading import by_file, labels_of, put, read, recognised, refused, splits_of

PHOTOS = {"images/train/1.jpg": "", "images/train/2.jpg": "", "labels/train/1.txt": "0 .5 .5 1 1\n"}


@pytest.mark.parametrize("index", ["1", "1.0", "1.000000000000000000e+00"])
def test_class_ids_as_decimals(tmp_path: Path, index: str) -> None:
    line = f"{index} 5.000e-01 5.000e-01 2.000e-01 4.000e-01"
    put(tmp_path, {**PHOTOS, "labels/train/1.txt": f"\n{line}\n\n", "data.yaml": "train: images/train\nnames: [a, b]"})
    assert labels_of(read(tmp_path, "yolo", "data.yaml"))["images/train/1.jpg"] == {"b"}


@pytest.mark.parametrize("index", ["1.5", "-1", "nan", "1e999", "1_0", "2", "²", "9" * 5_000, "0x1"])
def test_class_ids_that_are_none(tmp_path: Path, index: str) -> None:
    put(tmp_path, {**PHOTOS, "labels/train/1.txt": index, "data.yaml": "train: images/train\nnames: [a, b]"})
    refused("not an index of the 2 classes", tmp_path, "yolo", "data.yaml")


NAMES = {
    "truth values": ("names:\n  0: no\n  1: Yes\n  2: on\n", ("no", "Yes", "on")),
    "nothing": ("names: [null, ~x, None]\n", ("null", "~x", "None")),
    "numbers": ("names: [0, 1e3, 010, 1_000, 0x1F]\n", ("0", "1e3", "010", "1_000", "0x1F")),
    "a date and a time": ("names: [2026-01-01, 12:30:45]\n", ("2026-01-01", "12:30:45")),
    "comments": ("nc: 2  # classes\nnames:\n- cup # of tea\n- 'plate # 2'\n", ("cup", "plate # 2")),
    "keys as text, in another order": ("names: {'1': b, '0': a}\n", ("a", "b")),
}


@pytest.mark.parametrize("name", NAMES)
def test_class_names_keep_their_text(tmp_path: Path, name: str) -> None:
    text, classes = NAMES[name]
    put(tmp_path, {**PHOTOS, "data.yaml": f"path: .\ntrain: images/train\nval:\n{text}"})
    assert recognised(tmp_path / "data.yaml") == "yolo"
    assert read(tmp_path, "yolo", "data.yaml").classes == classes


@pytest.mark.parametrize(
    "place", ["/content/set-1/train/images", "../train/images", r"C:\Users\me\set-1\train\images", "./train/images"]
)
def test_folders_of_another_computer(tmp_path: Path, place: str) -> None:
    photos = {"set/train/images/1.jpg": "", "set/train/labels/1.txt": "0", "set/images/2.jpg": ""}
    text = f"train: {place}\nval: ../valid/images\ntest: ../test/images\nnames: [a]\n"
    put(tmp_path, {**photos, "set/data.yaml": text})
    assert by_file(read(tmp_path, "yolo", "set/data.yaml")) == {"set/train/images/1.jpg": ("", {"a"}, set())}


@pytest.mark.parametrize(
    "start", ["./images/train/", "images/train/", "data/images/train/", "/home/me/x/images/train/"]
)
def test_lists_of_photos(tmp_path: Path, start: str) -> None:
    put(tmp_path, {**PHOTOS, "data.yaml": "path: .\ntrain: train.txt\nnames: {0: a}\n"})
    put(tmp_path, {"train.txt": f"{start}1.jpg\n{start}2.jpg\n\n"})
    assert labels_of(read(tmp_path, "yolo", "data.yaml")) == {"images/train/1.jpg": {"a"}, "images/train/2.jpg": set()}


def test_labels_of_a_list_are_read_where_its_photos_lack(tmp_path: Path) -> None:
    put(tmp_path, {"labels/1.txt": "0", "data.yaml": "train: l.txt\nnames: [a]", "l.txt": "/x/images/1.jpg\n/x/2.jpg"})
    assert labels_of(read(tmp_path, "yolo", "data.yaml")) == {"images/1.jpg": {"a"}, "x/2.jpg": set()}


def test_a_list_of_classes_next_to_a_description_without_names(tmp_path: Path) -> None:
    put(tmp_path, {**PHOTOS, "data.yaml": "train: images/train\nnc: 2\n", "classes.txt": "no\nplate\n"})
    assert [recognised(tmp_path / name) for name in ("data.yaml", "classes.txt")] == ["yolo", ""]
    assert read(tmp_path, "yolo", "data.yaml").classes == ("no", "plate")


@pytest.mark.parametrize("path", [r'"C:\data\set"', r"'C:\data\set'", r"C:\data\set", '"/data/caf\\xe9"'])
def test_a_path_with_backslashes(tmp_path: Path, path: str) -> None:
    put(tmp_path, {**PHOTOS, "data.yaml": f'path: {path}\ntrain: images/train\nnames: ["a"]\n'})
    assert len(read(tmp_path, "yolo", "data.yaml").images) == 2


def test_folders_with_capitals(tmp_path: Path) -> None:
    put(tmp_path, {"Images/1.jpg": "", "Labels/1.txt": "0", "data.yaml": "train: Images\nnames: [a]\n"})
    assert labels_of(read(tmp_path, "yolo", "data.yaml")) == {"Images/1.jpg": {"a"}}


NAMES_OF_LABELS = {
    "Unicode form": ("cafe\u0301.jpg", "caf\u00e9.txt"),
    "letter case": ("DSC1.jpg", "dsc1.txt"),
    "suffix": ("1.JPG", "1.TXT"),
}


@pytest.mark.parametrize("form", NAMES_OF_LABELS)
@pytest.mark.parametrize("folders", [("images/a", "labels/a"), ("caf\u00e9", "cafe\u0301"), ("images", "LABELS")])
def test_label_files_in_another_form(tmp_path: Path, form: str, folders: tuple[str, str]) -> None:
    (photo, label), (of_photos, of_labels) = NAMES_OF_LABELS[form], folders
    put(tmp_path, {f"{of_photos}/{photo}": "", f"{of_labels}/{label}": "0 .5 .5 1 1", f"{of_photos}/other.jpg": ""})
    put(tmp_path, {"data.yaml": f"train: {of_photos}\nnames: [cup]\n", "classes.txt": "cup\n"})
    expected = {f"{of_photos}/{photo}": {"cup"}, f"{of_photos}/other.jpg": set[str]()}
    assert labels_of(read(tmp_path, "yolo", "data.yaml")) == expected
    assert labels_of(read(tmp_path, "yolo_classes", "classes.txt")) == expected


@pytest.mark.parametrize("name", ["Classes", "Train", "Labels"])
def test_a_list_of_classes_or_photos_is_no_label_file(tmp_path: Path, name: str) -> None:
    put(tmp_path, {f"i/{name}.jpg": "", "i/a.jpg": "", "i/a.txt": "0 .5 .5 1 1", f"i/{name.lower()}.txt": "cup\n"})
    put(tmp_path, {"data.yaml": "train: i\nnames: [cup]\n"})
    assert labels_of(read(tmp_path, "yolo", "data.yaml")) == {f"i/{name}.jpg": set(), "i/a.jpg": {"cup"}}


def test_a_label_file_belongs_to_the_photo_of_its_very_name(tmp_path: Path) -> None:
    put(tmp_path, {"i/DSC1.jpg": "", "i/dsc1.jpg": "", "i/dsc1.txt": "0 .5 .5 1 1"})
    put(tmp_path, {"data.yaml": "train: i\nnames: [cup]\n"})
    assert labels_of(read(tmp_path, "yolo", "data.yaml")) == {"i/DSC1.jpg": set(), "i/dsc1.jpg": {"cup"}}
    (tmp_path / "i/dsc1.jpg").unlink()
    put(tmp_path, {"i/Dsc1.txt": "0 .5 .5 1 1"})
    refused("Several label files fit the photo 'i/DSC1.jpg'", tmp_path, "yolo", "data.yaml")


def test_labels_of_photos_that_a_list_names_in_another_form(tmp_path: Path) -> None:
    put(tmp_path, {"set/images/cafe\u0301.jpg": "", "set/labels/cafe\u0301.txt": "0 .5 .5 1 1"})
    put(tmp_path, {"data.yaml": "train: l.txt\nnames: [cup]\n", "l.txt": "/content/set/images/caf\u00e9.JPG"})
    assert labels_of(read(tmp_path, "yolo", "data.yaml")) == {"set/images/cafe\u0301.jpg": {"cup"}}


def test_val_that_is_train_again_is_no_test(tmp_path: Path) -> None:
    put(tmp_path, {**PHOTOS, "data.yaml": "train: images/train\nval: images/train\nnames: [a]\n"})
    assert set(splits_of(read(tmp_path, "yolo", "data.yaml")).values()) == {""}


DARKNET = {
    "obj.data": "classes = 2\ntrain = data/train.txt\nvalid = data/valid.txt\nnames = data/obj.names\n",
    "obj.names": "no\nplate\n",
    "train.txt": "data/obj_train_data/1.jpg\ndata/obj_train_data/b/2.jpg\n",
    "valid.txt": "data/obj_valid_data/1.jpg\n",
    "obj_train_data/1.jpg": "",
    "obj_train_data/1.txt": "0 .5 .5 .1 .1\n1 .5 .5 .1 .1\n",
    "obj_train_data/b/2.jpg": "",
    "obj_valid_data/1.jpg": "",
    "obj_valid_data/1.txt": "1 .5 .5 .1 .1\n",
}


@pytest.mark.parametrize("folder", ["", "job_1/"])
def test_darknet(tmp_path: Path, folder: str) -> None:
    put(tmp_path, {folder + name: text for name, text in DARKNET.items()})
    assert recognised(tmp_path / folder / "obj.data") == "yolo"
    source = read(tmp_path, "yolo", f"{folder}obj.data")
    assert source.classes == ("no", "plate")
    assert by_file(source) == {
        f"{folder}obj_train_data/1.jpg": ("train", {"no", "plate"}, set()),
        f"{folder}obj_train_data/b/2.jpg": ("train", set(), set()),
        f"{folder}obj_valid_data/1.jpg": ("test", {"plate"}, set()),
    }


def test_several_exports_with_other_classes(tmp_path: Path) -> None:
    parts = [
        (f"job_{i}", {**PHOTOS, "data.yaml": f"train: images/train\nnames: [{name}]"})
        for i, name in ((1, "b"), (2, "a"))
    ]
    for folder, files in parts:
        put(tmp_path / folder, files)
    source = read(tmp_path, "yolo", ["job_1/data.yaml", "job_2/data.yaml"])
    assert source.classes == ("b", "a")
    assert by_file(source)["job_2/images/train/1.jpg"] == ("", {"a"}, {"b"})


BAD = {
    "no names": ({"obj.names": "\n"}, "share a name, or one has none"),
    "names that are missing": ({"obj.data": "train = train.txt\nnames = x.names"}, "class names is missing"),
    "no list": ({"obj.data": "train = x.txt\nnames = obj.names"}, "'x.txt' does not exist"),
    "no settings": ({"obj.data": "train\nnames = a"}, "no '='"),
    "a photo outside": ({"train.txt": ".."}, "names no photo"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_darknet(tmp_path: Path, name: str) -> None:
    put(tmp_path, {**DARKNET, **BAD[name][0]})
    refused(BAD[name][1], tmp_path, "yolo", "obj.data")


def test_a_damaged_description_is_recognised_and_others_are_not(tmp_path: Path) -> None:
    put(tmp_path, {"a.yaml": "train: images\nnames: [a\n", "b.yaml": "names: [a]\n", "c.data": "train: x\nnames: y\n"})
    assert [recognised(tmp_path / name) for name in ("a.yaml", "b.yaml", "c.data")] == ["yolo", "", ""]
    refused("not YAML.*a.yaml", tmp_path, "yolo", "a.yaml")


@pytest.mark.parametrize("name", ["classes.txt", "labels/classes.txt", "obj.names", "_darknet.labels"])
def test_a_list_of_classes_without_a_description(tmp_path: Path, name: str) -> None:
    photos = {"images/0a1b2c3d-1.jpg": "", "images/2.jpg": "", "labels/0a1b2c3d-1.txt": "1 .5 .5 .1 .1\n"}
    put(tmp_path, {**photos, name: "cup\nno\n", "notes.json": '{"categories": []}'})
    assert recognised(tmp_path / name) == "yolo_classes"
    source = read(tmp_path, "yolo_classes", name)
    assert source.classes == ("cup", "no")
    assert labels_of(source) == {"images/0a1b2c3d-1.jpg": {"no"}, "images/2.jpg": set()}


def test_splits_of_a_list_of_classes_are_folders(tmp_path: Path) -> None:
    folders = {
        f"{kind}/{split}/1.{end}" for split in ("train", "val") for kind, end in (("images", "jpg"), ("labels", "txt"))
    }
    put(tmp_path, {**dict.fromkeys(folders, "0 1 1 1 1"), "classes.txt": "cup"})
    assert splits_of(read(tmp_path, "yolo_classes", "classes.txt")) == {
        "images/train/1.jpg": "train",
        "images/val/1.jpg": "test",
    }
    put(tmp_path, {"images/1.jpg": "", "labels/1.txt": ""})
    assert set(splits_of(read(tmp_path, "yolo_classes", "classes.txt")).values()) == {""}


def test_one_list_of_classes_for_each_split(tmp_path: Path) -> None:
    lists = {split: f"{split}/_darknet.labels" for split in ("train", "test")}
    for split, name in lists.items():
        put(tmp_path, {name: "cup\nplate", f"{split}/{split}.jpg": "", f"{split}/{split}.txt": "1 1 1 1 1"})
    images = {split: split for split in lists}
    assert by_file(read(tmp_path, "yolo_classes", lists, images=images)) == {
        "train/train.jpg": ("train", {"plate"}, set()),
        "test/test.jpg": ("test", {"plate"}, set()),
    }


LISTED = {"yolo_classes": "classes.txt", "yolo": "data.yaml", "darknet": "obj.data"}


@pytest.mark.parametrize("kind", LISTED)
def test_a_blank_line_in_a_list_of_classes_shifts_no_class(tmp_path: Path, kind: str) -> None:
    put(tmp_path, {**DARKNET, **PHOTOS, "data.yaml": "train: images/train\n", "labels/train/1.txt": "1 .5 .5 .1 .1"})
    format_name, list_name = kind.replace("darknet", "yolo"), "obj.names" if kind == "darknet" else "classes.txt"
    for text in ("no\n\nplate\n", "\nno\nplate\n"):
        put(tmp_path, {list_name: text})
        refused(f"or one has none.*{list_name}", tmp_path, format_name, LISTED[kind])
    put(tmp_path, {list_name: "no\r\nplate\r\n \r\n\r\n"})
    assert read(tmp_path, format_name, LISTED[kind]).classes == ("no", "plate")


def test_a_text_without_label_files_is_no_list_of_classes(tmp_path: Path) -> None:
    put(tmp_path, {"classes.txt": "cup\n", "a.txt": "cup 1 1 1 1", "b.txt": "1 2", "cup/1.jpg": ""})
    assert recognised(tmp_path / "classes.txt") == ""
