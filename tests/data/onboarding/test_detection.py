"""Detection of annotation files and folder trees by `sadcl data add`: several files, exports, questions."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sadcl.data.onboarding import candidates, trees
from sadcl.data.onboarding.candidates import scan
from sadcl.data.onboarding.detect import detect_source
from sadcl.data.onboarding.listing import visible, visible_folders
from sadcl.data.onboarding.questions import Options, first
from sadcl.data.sources.formats import FORMATS
from sadcl.errors import SadclError
from tests.data.onboarding.folders import again, half_labelled, labels, labels_column, numbered, photos, put


def test_jobs_with_photos_of_equal_names_are_one_source(tmp_path: Path) -> None:
    for job, name in (("task_0", "cup"), ("task_1", "plate")):
        coco = {"images": [{"id": 1, "file_name": "1.jpg"}], "annotations": [{"image_id": 1, "category_id": 1}],
                "categories": [{"id": 1, "name": name}]}  # fmt: skip
        put(photos(tmp_path, [f"{job}/images/1.jpg"]), {f"{job}/annotations/instances_default.json": json.dumps(coco)})
    detected = detect_source(tmp_path)
    shown = {image.file: {detected.source.classes[i] for i in image.labels} for image in again(detected).images}
    assert shown == {"task_0/images/1.jpg": {"cup"}, "task_1/images/1.jpg": {"plate"}}


@pytest.mark.parametrize("limit", ["MAX_READ", "MAX_FILES"])
def test_a_folder_of_many_files_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr(candidates, limit, 3)
    for folder, label, count in (("a", "cat", 5), ("b", "dog", 1), ("c/d", "cow", 2)):
        photos(tmp_path, [f"{folder}/{i}.jpg" for i in range(count)])
        shapes = {"shapes": [{"label": label}], "imagePath": "", "flags": {}}
        put(tmp_path, {f"{folder}/{i}.json": json.dumps(shapes) for i in range(count)})
    detected = detect_source(tmp_path)
    assert detected.ingest["annotations"] == {"train": "."}
    assert (detected.source.classes, len(detected.source.images)) == (("cat", "cow", "dog"), 8)


def test_a_search_that_ends_before_the_last_folder_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(numbered(tmp_path, 2), {"labels.csv": "file,labels\n0.jpg,cup\n1.jpg,bowl\n", "a/b/about.md": ""})
    assert detect_source(tmp_path).notes == ()
    monkeypatch.setattr(candidates, "MAX_FOLDERS", 2)
    assert "searched in the first" in detect_source(tmp_path).notes[-1]


def test_a_linked_folder_of_annotations_is_read(tmp_path: Path) -> None:
    for folder, numbers in (("set/Annotations", (1, 2)), ("elsewhere", (3, 4))):
        photos(tmp_path / "set/JPEGImages", [f"{i}.jpg" for i in numbers])
        xml = "<annotation><object><name>cup</name></object></annotation>"
        put(tmp_path / folder, {f"{i}.xml": xml for i in numbers})
    (tmp_path / "set/Annotations/more").symlink_to("../../elsewhere")
    (tmp_path / "elsewhere/again").symlink_to("../set")
    detected = detect_source(tmp_path / "set")
    assert detected.ingest["annotations"] == {"train": "Annotations"}
    assert [image.file for image in detected.source.images] == [f"JPEGImages/{i}.jpg" for i in (1, 2, 3, 4)]


def test_a_list_in_a_linked_folder_is_read(tmp_path: Path) -> None:
    numbered(tmp_path / "set", 2)
    put(tmp_path, {"lists/labels.csv": "file,labels\n0.jpg,cup\n1.jpg,bowl\n"})
    (tmp_path / "set/lists").symlink_to("../lists")
    assert detect_source(tmp_path / "set").ingest["annotations"] == {"train": "lists/labels.csv"}


def test_annotations_that_no_format_reads_are_named(tmp_path: Path) -> None:
    put(photos(tmp_path, ["ds/img/1.jpg", "ds/img/2.jpg"]), {"ds/ann/1.jpg.json": '{"objects": []}', "meta.json": "{}"})
    with pytest.raises(SadclError, match=r"no format of annotations fits meta.json, ds/ann/1.jpg.json"):
        detect_source(tmp_path)


def test_an_export_one_level_too_high(tmp_path: Path) -> None:
    for split, first_number in (("train", 0), ("valid", 6), ("test", 8)):
        names = [f"{first_number + i}.jpg" for i in range(6 if split == "train" else 2)]
        folder = photos(tmp_path / f"Downloads/kitchen.v1i.multiclass/{split}", names)
        put(
            folder,
            {"_classes.csv": "\n".join(["filename, Cup, Plate", *(f"{n}, {i % 2}, 1" for i, n in enumerate(names))])},
        )
    detected = detect_source(tmp_path)
    assert detected.source.classes == ("Cup", "Plate")
    assert [image.split for image in detected.source.images] == ["train"] * 6 + ["select"] * 2 + ["test"] * 2
    put(tmp_path, {"Downloads/kitchen.v1i.multiclass/README.roboflow.txt": "Exported 1.jpg and others"})
    assert detect_source(tmp_path).ingest == detected.ingest


def test_several_exports_together(tmp_path: Path) -> None:
    for task in (1, 2):
        folder = photos(tmp_path / f"task_{task}", [f"{task}{i}.jpg" for i in range(3)])
        put(folder, {"labels.csv": "file,labels\n" + "".join(f"{task}{i}.jpg,class {i % 2}\n" for i in range(3))})
    detected = detect_source(tmp_path)
    assert detected.ingest["annotations"] == {"train": ["task_1/labels.csv", "task_2/labels.csv"]}
    assert [image.file for image in again(detected).images][2:4] == ["task_1/12.jpg", "task_2/20.jpg"]


def test_lists_of_different_kinds_are_asked(tmp_path: Path) -> None:
    rows = "file,labels\n" + "".join(f"{i}.jpg,cup\n" for i in range(4))
    put(numbered(tmp_path, 4), {"labels.csv": rows, "old.csv": rows.replace("cup", "plate")})
    with pytest.raises(SadclError, match=r"more than one file of labels: labels.csv, old.csv.*as PATH"):
        detect_source(tmp_path)
    assert detect_source(tmp_path / "old.csv").source.classes == ("plate",)
    assert detect_source(tmp_path, Options(ask=first)).source.classes == ("cup",)


def test_the_only_list_whose_photos_are_there_is_read(tmp_path: Path) -> None:
    rows = "image,labels\n" + "".join(f"{i}.jpg,cup\n" for i in range(4))
    put(numbered(tmp_path, 4), {"train.csv": rows, "sample_submission.csv": "image,labels\nx.jpg,cup\n"})
    detected = detect_source(tmp_path)
    assert detected.ingest["annotations"] == {"train": "train.csv"}
    assert "1 of 1 photo is missing" in detected.notes[-1]


def test_a_doubtful_list_is_not_passed_over(tmp_path: Path) -> None:
    labels_column(tmp_path, ("red apple", "green apple", "red car", "green car"))
    put(tmp_path, {"old.csv": "file,labels\n0.jpg,fruit\n1.jpg,car\n"})
    with pytest.raises(SadclError, match="one label or several"):
        detect_source(tmp_path)


def test_lists_of_the_same_photos_are_refused(tmp_path: Path) -> None:
    rows = "file,labels\n0.jpg,cup\n1.jpg,plate\n"
    put(numbered(tmp_path, 2), {"labels.csv": rows, "labels (1).csv": rows})
    with pytest.raises(SadclError, match=r"the lists are labels \(1\).csv, labels.csv.*Name one list as PATH"):
        detect_source(tmp_path)


def test_a_damaged_table_is_named_and_no_tree_is_read(tmp_path: Path) -> None:
    put(photos(tmp_path, ("cat/0.jpg", "dog/1.jpg")), {"labels.csv": "file,labels\n0.jpg,cup,plate\n"})
    with pytest.raises(SadclError, match=r"3 fields and the header 2.*labels.csv, line 2"):
        detect_source(tmp_path)
    (tmp_path / "labels.csv").rename(tmp_path / "labels.xlsx")
    with pytest.raises(SadclError, match=r"Save the sheet labels\.xlsx as CSV"):
        detect_source(tmp_path)


def test_two_formats_that_differ_are_asked(tmp_path: Path) -> None:
    lines = "".join(f'{{"file_name": "{i}.jpg", "labels": ["cup"]}}\n' for i in range(4))
    put(
        numbered(tmp_path, 4),
        {"metadata.jsonl": lines, "labels.csv": "file,labels\n" + "".join(f"{i}.jpg,cup\n" for i in range(4))},
    )
    detected = detect_source(tmp_path)
    assert (detected.ingest["format"], detected.notes[-1]) == ("csv", "metadata.jsonl (JSON lines) says the same")
    put(tmp_path, {"metadata.jsonl": lines.replace("cup", "plate")})
    with pytest.raises(SadclError, match=r"with other labels or photos.*--format csv or --format jsonl"):
        detect_source(tmp_path)
    assert detect_source(tmp_path, Options("jsonl")).source.classes == ("plate",)
    put(tmp_path, {"labels.csv": "file,labels\n0.jpg,cup\nnowhere.jpg,cup\n"})
    with pytest.raises(SadclError, match=r"can't be read.*--format jsonl"):
        detect_source(tmp_path)


TREES = {
    "a list nobody reads": ({"list.xml": "<a><b>0.jpg</b></a>", "cat/0.jpg": "", "dog/1.jpg": ""}, "list.xml"),
    "a file per photo": ({"cat/0.jpg": "", "cat/0.txt": "0 .5 .5 .1 .1", "dog/1.jpg": ""}, "cat/0.txt"),
    "darknet": ({"obj.data": "train = data/train.txt", "obj_train_data/0.jpg": ""}, "obj.data"),
    "storage": ({"images/0.jpg": "", "upload/1.jpg": ""}, "'images', 'upload' look like names of folders"),
    "one of them storage": ({"cat/0.jpg": "", "JPEGImages/1.jpg": ""}, "'JPEGImages' looks like"),
    "a camera": ({"DCIM/100APPLE/0.jpg": "", "DCIM/101APPLE/1.jpg": ""}, "100APPLE"),
    "dates": ({"2021-05-01/0.jpg": "", "2022/1.jpg": ""}, "2021-05-01"),
    "splits inside": ({"birds/train/0.jpg": "", "cats/train/1.jpg": ""}, "'train'"),
}  # fmt: skip


@pytest.mark.parametrize("kind", TREES)
def test_a_tree_that_stores_photos_has_no_labels(tmp_path: Path, kind: str) -> None:
    files, words = TREES[kind]
    put(tmp_path, files)
    with pytest.raises(SadclError, match=words) as caught:
        detect_source(tmp_path)
    assert "--format folder" in str(caught.value)
    assert detect_source(tmp_path, Options("folder")).ingest["format"] == "folder"


def test_a_tree_with_notes_and_a_class_list_is_one(tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            "cat/0.jpg": "",
            "dog/1.jpg": "",
            "README.txt": "0.jpg is mine",
            "labels.txt": "0 cat\n1 dog\n",
            "0/2.jpg": "",
        },
    )
    assert detect_source(tmp_path).source.classes == ("0", "cat", "dog")


def test_a_folder_around_a_tree_is_no_label(tmp_path: Path) -> None:
    put(tmp_path / "a", {"flowers/daisy/0.jpg": "", "flowers/rose/1.jpg": ""})
    assert detect_source(tmp_path / "a").source.classes == ("daisy", "rose")
    put(tmp_path / "mac", {"flowers/daisy/0.jpg": "", "flowers/rose/1.jpg": "", "__MACOSX/flowers/._daisy": ""})
    assert detect_source(tmp_path / "mac").source.classes == ("daisy", "rose")
    put(tmp_path / "b", {"flowers/train/daisy/0.jpg": "", "flowers/valid/daisy/1.jpg": ""})
    assert detect_source(tmp_path / "b").ingest["images"] == {"train": "flowers/train", "test": "flowers/valid"}


@pytest.mark.parametrize(("meaning", "expected"), [("negative", True), ("unknown", "unknown"), ("drop", False)])
def test_half_finished_labelling_is_asked(tmp_path: Path, meaning: Any, expected: object) -> None:
    half_labelled(tmp_path)
    with pytest.raises(
        SadclError, match=r"6 of 12 photos have no label, all at the end.*--unlabelled unknown, drop or negative"
    ):
        detect_source(tmp_path)
    assert detect_source(tmp_path, Options(unlabelled=meaning)).ingest["keep_unlabelled"] == expected


def test_blank_labels_between_others_are_negatives(tmp_path: Path) -> None:
    cells = [("cup", "plate", "")[i % 3] for i in range(12)]
    assert "keep_unlabelled" not in detect_source(labels_column(tmp_path, cells)).ingest


def test_an_archive_has_to_be_unpacked(tmp_path: Path) -> None:
    (tmp_path / "export.zip").write_bytes(b"PK")
    with pytest.raises(SadclError, match=r"This is an archive .*export\.zip.* Unpack it"):
        detect_source(tmp_path / "export.zip")


def test_entries_that_cannot_be_read_are_passed_over(tmp_path: Path) -> None:
    photos(tmp_path, ["cup/1.jpg", "plate/2.jpg"])
    (tmp_path / "broken").symlink_to("x" * 300)  # longer than file systems allow
    assert trees.settings(tmp_path, scan(tmp_path), insist=True)["images"] == {"train": "."}
    assert visible_folders(tmp_path) == [tmp_path / "cup", tmp_path / "plate"]
    assert visible(tmp_path / "cup/1.jpg") == []  # as a folder without permission


@pytest.mark.parametrize("empty", [("test",), ("val", "test")])
def test_an_empty_folder_is_no_split(tmp_path: Path, empty: Sequence[str]) -> None:
    tree = photos(
        tmp_path / "tree", [f"{split}/{name}/1.jpg" for split in ("train", "val") for name in ("cup", "bowl")]
    )
    yolo = photos(tmp_path / "yolo", ["train/images/1.jpg", "val/images/2.jpg"])
    put(yolo, {f"{split}/labels/{i}.txt": "0 .5 .5 1 1" for split, i in (("train", 1), ("val", 2))})
    put(yolo, {"data.yaml": "train: train/images\nval: val/images\ntest: test/images\nnames: [cup]\n"})
    for name in empty:
        for folder in (tree / name, yolo / name / "images"):
            for path in sorted(folder.rglob("*.jpg")):
                path.unlink()
            folder.mkdir(parents=True, exist_ok=True)
    expected = {"train", "test"} if len(empty) == 1 else {""}
    assert {image.split for image in detect_source(tree).source.images} == expected
    assert {image.split for image in detect_source(yolo).source.images} == expected
    assert set(detect_source(tree).ingest["images"].values()) == {"train", "val"} - {*empty}


def test_a_yolo_description_may_list_its_classes_elsewhere(tmp_path: Path) -> None:
    put(photos(tmp_path, ["images/1.jpg"]), {"labels/1.txt": "1 .5 .5 1 1", "classes.txt": "cup\nbowl\n"})
    put(tmp_path, {"data.yaml": "train: images\nnc: 2\n"})
    detected = detect_source(tmp_path)
    assert (detected.ingest["format"], labels(detected)) == ("yolo", [{"bowl"}])


def test_all_exports_of_a_folder_one_level_too_high_are_named(tmp_path: Path) -> None:
    photos(tmp_path, [f"{folder}/{i}.jpg" for folder in ("a", "b", "c", "d") for i in range(2)])
    coco = {"images": [{"id": i, "file_name": f"{i}.jpg"} for i in range(2)], "categories": [{"id": 1, "name": "cup"}],
            "annotations": [{"image_id": i, "category_id": 1} for i in range(2)]}  # fmt: skip
    xml = '<annotations><image id="0" name="0.jpg"><tag label="fork"/></image></annotations>'
    put(tmp_path, {
        "a/labels.csv": "file,labels\n0.jpg,bowl\n1.jpg,bowl\n",
        "b/metadata.jsonl": '{"file_name": "0.jpg", "labels": ["plate"]}\n',
        "c/instances.json": json.dumps(coco),
        "d/annotations.xml": xml,
    })  # fmt: skip
    with pytest.raises(SadclError) as caught:
        detect_source(tmp_path)
    for words in ("a/labels.csv, 2 photos of 1 class", "b/metadata.jsonl, 1 photo of 1 class", "c/instances.json",
                  "d/annotations.xml", "--format csv or --format jsonl or --format coco or --format cvat"):  # fmt: skip
        assert words in str(caught.value)
    assert detect_source(tmp_path, Options(ask=lambda question: "cvat")).source.classes == ("fork",)


def test_advice_about_an_unknown_format_names_every_format(tmp_path: Path) -> None:
    with pytest.raises(SadclError, match="has no labels") as caught:
        detect_source(numbered(tmp_path))
    assert all(known.title in str(caught.value) for known in FORMATS)


TITLES = {
    "a title": "Kitchen photos 2024\n",
    "a title of a spreadsheet": "Kitchen photos,,\n,,\n",
    "two lines": "Kitchen photos\nby Ann, Bob\n\n",
}


@pytest.mark.parametrize("kind", TITLES)
@pytest.mark.parametrize("header", ["file,labels,place", "Bild;Etikett;Ort"])
def test_a_header_below_a_title_is_named(tmp_path: Path, kind: str, header: str) -> None:
    mark = ";" if ";" in header else ","
    body = header + "\n" + "".join(mark.join([f"{i}.jpg", "cup", "Rome"]) + "\n" for i in range(3))
    put(numbered(tmp_path, 3), {"labels.csv": TITLES[kind] + body})
    line = TITLES[kind].count("\n") + 1
    first, second, _ = header.split(mark)
    words = f"line {line} looks like the header: '{first}', '{second}'.*Remove the lines"
    for path in (tmp_path, tmp_path / "labels.csv"):
        with pytest.raises(SadclError, match=words):
            detect_source(path)
    put(tmp_path, {"labels.csv": body.replace("Etikett", "labels")})
    assert detect_source(tmp_path).source.classes == ("cup",)
