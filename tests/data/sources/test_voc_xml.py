"""Pascal VOC XML of one's own photos: folders, devkits, difficult objects, lists, and refused files."""

from pathlib import Path

import pytest

from tests.data.sources.reading import by_file, labels_of, put, read, recognised, refused, splits_of


def annotation(filename: str, *names: str, difficult: str = "0") -> str:
    flag = f"<difficult>{difficult}</difficult>"
    marks = [f"<object><name>{n}</name>{flag}<part><name>lid</name></part><bndbox/></object>" for n in names]
    listed = f"<filename>{filename}</filename>" if filename else ""
    return f"<annotation><folder>x</folder>{listed}<source><name>tool</name></source>{''.join(marks)}</annotation>"


def test_xml_next_to_its_photos_in_folders_of_splits(tmp_path: Path) -> None:
    names = {"train/1": "cup", "train/2": "plate", "valid/3": "cup", "test/4": "cup"}
    put(tmp_path, {f"{name}.xml": annotation(f"{name[-1]}.jpg", label) for name, label in names.items()})
    put(tmp_path, {f"{name}.jpg": "" for name in names})
    assert recognised(tmp_path / "train/1.xml") == "voc_xml"
    expected = {f"{name}.jpg": {label} for name, label in names.items()}
    one = read(tmp_path, "voc_xml", ".")
    three = read(tmp_path, "voc_xml", {"train": "train", "select": "valid", "test": "test"})
    assert labels_of(one) == labels_of(three) == expected
    assert splits_of(one) == splits_of(three)
    assert splits_of(one)["valid/3.jpg"] == "select"


DEVKIT = {
    "Annotations/1.xml": annotation("1.png", "cup", "cup", "plate"),
    "Annotations/a/2.xml": annotation("", "plate"),
    "Annotations/3.xml": annotation("stale.jpg"),
    "Annotations/4.xml": annotation("C:\\photos\\IMG_4.jpg", "cup"),
    "JPEGImages/1.png": "",
    "JPEGImages/a/2.JPG": "",
    "JPEGImages/3.jpg": "",
    "JPEGImages/stale.jpg": "",
    "JPEGImages/photos/IMG_4.jpg": "",
}


@pytest.mark.parametrize("folder", ["", "VOC/"])
def test_a_devkit_of_ones_own(tmp_path: Path, folder: str) -> None:
    put(tmp_path, {folder + name: text for name, text in DEVKIT.items()})
    assert labels_of(read(tmp_path, "voc_xml", f"{folder}Annotations")) == {
        f"{folder}JPEGImages/1.png": {"cup", "plate"},
        f"{folder}JPEGImages/a/2.JPG": {"plate"},
        f"{folder}JPEGImages/3.jpg": set(),
        f"{folder}JPEGImages/photos/IMG_4.jpg": {"cup"},
    }


def test_lists_give_splits_and_lists_of_classes_give_labels(tmp_path: Path) -> None:
    lists = {"trainval": "1\na/2\n", "test": "3", "pan_trainval": "1  1\na/2 -1\n", "cup_trainval": "1  1\na/2  0\n"}
    put(tmp_path, {**DEVKIT, **{f"ImageSets/Main/{name}.txt": text for name, text in lists.items()}})
    shown = by_file(read(tmp_path, "voc_xml", "Annotations"))
    assert shown["JPEGImages/1.png"] == ("train", {"cup", "plate", "pan"}, set())
    assert shown["JPEGImages/a/2.JPG"] == ("train", {"plate"}, {"cup"})
    assert shown["JPEGImages/3.jpg"] == ("test", set(), set())
    assert shown["JPEGImages/photos/IMG_4.jpg"][0] == ""


@pytest.mark.parametrize(
    ("setting", "present", "ignored"),
    [("negative", {"cup"}, set()), ("ignore", {"cup"}, {"pan"}), ("positive", {"cup", "pan"}, set())],
)
def test_difficult_objects(tmp_path: Path, setting: str, present: set[str], ignored: set[str]) -> None:
    hard = annotation("1.jpg", "cup", "pan", difficult="1")
    put(tmp_path, {"1.xml": hard.replace("</annotation>", "<object><name>cup</name></object></annotation>")})
    assert by_file(read(tmp_path, "voc_xml", ".", difficult=setting))["1.jpg"] == ("", present, ignored)


def test_deleted_objects_are_none(tmp_path: Path) -> None:
    text = annotation("1.jpg", "cup").replace("</object>", "<deleted>1</deleted></object>")
    text = text.replace("</annotation>", "<object><name>pan</name><deleted>0</deleted></object></annotation>")
    assert labels_of(read(put(tmp_path, {"1.xml": text}), "voc_xml", ".")) == {"1.jpg": {"pan"}}


BAD = {
    "cut off": (annotation("1.jpg", "cup")[:-5], "not XML"),
    "entities": ('<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>', "document type"),
    "another root": ("<annotations/>", "root element is 'annotations'"),
    "no name": (annotation("1.jpg", " "), "Object number 1 has no name"),
    "deep": ("<annotation>" * 1000, "100 levels"),
    "a photo outside": (annotation("../../1.jpg", "cup"), "leaves the data root"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused(tmp_path: Path, name: str) -> None:
    put(tmp_path, {"a.xml": BAD[name][0]})
    refused(BAD[name][1] + ".*a.xml", tmp_path, "voc_xml", ".")


@pytest.mark.parametrize(
    ("folder", "words"), [("none", "is missing"), ("..", "leaves the data root"), ("a.xml", "is missing")]
)
def test_folders_that_are_refused(tmp_path: Path, folder: str, words: str) -> None:
    refused(words, put(tmp_path, {"a.xml": annotation("a.jpg", "cup")}), "voc_xml", folder)


def test_a_damaged_file_is_still_recognised(tmp_path: Path) -> None:
    put(tmp_path, {"a.xml": BAD["cut off"][0]})
    assert recognised(tmp_path / "a.xml") == "voc_xml"


def with_lists(root: Path, **lists: str) -> Path:
    put(root, {f"Annotations/{name}.xml": annotation(f"{name}.jpg", "cup") for name in ("IMG 1", "IMG 2", "a.b")})
    return put(root, {f"ImageSets/Main/{name}.txt": text for name, text in lists.items()})


def test_listed_names_have_blanks_and_suffixes(tmp_path: Path) -> None:
    with_lists(tmp_path, train="IMG 1\na.b.jpg\n", test="IMG 2.JPG  1\n", val="", pan_train="IMG 1  1\na.b.jpg 0\n")
    shown = by_file(read(tmp_path, "voc_xml", "Annotations"))
    assert {name.rpartition("/")[2]: rest for name, rest in shown.items()} == {
        "IMG 1.jpg": ("train", {"cup", "pan"}, set()),
        "a.b.jpg": ("train", {"cup"}, {"pan"}),
        "IMG 2.jpg": ("test", {"cup"}, set()),
    }


def test_a_list_that_names_no_photo_is_refused(tmp_path: Path) -> None:
    with_lists(tmp_path, train="IMG 1\n", test="IMG_2\n")
    refused("No photo of the list has an XML file.*test.txt", tmp_path, "voc_xml", "Annotations")


def test_a_photo_in_two_lists_is_refused(tmp_path: Path) -> None:
    with_lists(tmp_path, train="IMG 1\na.b\n", test="IMG 2\na.b.jpg\n")
    refused(r"'a\.b' is in two splits, by train\.txt and test\.txt", tmp_path, "voc_xml", "Annotations")


@pytest.mark.parametrize("name", ["val", "Val", "valid", "validation"])
def test_the_list_of_val_is_part_of_trainval(tmp_path: Path, name: str) -> None:
    with_lists(tmp_path, trainval="IMG 1\nIMG 2\n", test="a.b\n", **{name: "IMG 2\n"})
    splits = splits_of(read(tmp_path, "voc_xml", "Annotations")).items()
    assert sorted((Path(name).stem, split) for name, split in splits) == [
        ("IMG 1", "train"), ("IMG 2", "select"), ("a.b", "test"),
    ]  # fmt: skip
