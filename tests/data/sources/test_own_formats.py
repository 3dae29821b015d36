"""Formats of your own photos: labels of valid files, and the error message for each kind of invalid one."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from sadcl import params
from sadcl.data import sources
from sadcl.data.images.decode import FORMATS
from sadcl.data.sources.photo_files import SUFFIXES, list_photos
from sadcl.errors import SadclError


def read(root: Path, kind: str, **changes: Any) -> sources.Source:
    defaults = {"source": "own", "format": kind, "annotations": {}, "images": {"train": "."}}
    return sources.read_source(root, params.Ingest.model_validate({**defaults, **changes}))


def put(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


def by_file(source: sources.Source) -> dict[str, tuple[str, set[str], set[str]]]:
    """By file: split, present and ignored classes."""
    return {
        image.file: (image.split, *({source.classes[i] for i in part} for part in (image.labels, image.ignored)))
        for image in source.images
    }


def refused(words: str, root: Path, kind: str, **changes: Any) -> None:
    with pytest.raises(SadclError, match=words) as caught:
        read(root, kind, **changes)
    assert caught.value.fix


WIDE = "file,cat,dog,camera,flash\na.jpg,1,0,x,1\nb.jpg,,TRUE,y,0\nc.jpg,-1,false,x,1\n"


def test_one_column_per_class(tmp_path: Path) -> None:
    put(tmp_path, {"l.csv": WIDE})
    source = read(tmp_path, "csv", annotations={"train": "l.csv"}, slices=["camera", "flash"])
    assert source.classes == ("cat", "dog")
    assert by_file(source) == {
        "a.jpg": ("", {"cat"}, set()),
        "b.jpg": ("", {"dog"}, set()),
        "c.jpg": ("", set(), {"cat"}),
    }
    assert source.images[0].slices == {"camera": "x", "flash": 1.0}


def test_slice_columns_next_to_class_columns_have_to_be_listed(tmp_path: Path) -> None:
    put(tmp_path, {"l.csv": WIDE, "other.csv": "file,cat,bird\nd.jpg,1,1\n"})
    refused(r"'camera'.*not 0 or 1 but 'x'.*ingest\.slices", tmp_path, "csv", annotations={"train": "l.csv"})
    both = {"train": "l.csv", "test": "other.csv"}
    refused("differ from those of train", tmp_path, "csv", annotations=both, slices=["camera", "flash"])


def test_parquet(tmp_path: Path) -> None:
    columns = {"file": ["a.jpg", "b.jpg"], "labels": [["cat", "dog"], []], "split": ["train", None], "iso": [100, None]}
    pq.write_table(pa.table({**columns, "thumbnail": [b"\xff", b"\0"]}), tmp_path / "l.parquet")
    source = read(tmp_path, "parquet", annotations={"train": "l.parquet"})
    assert by_file(source) == {"a.jpg": ("train", {"cat", "dog"}, set()), "b.jpg": ("", set(), set())}
    assert [image.slices for image in source.images] == [{"iso": 100.0}, {}]
    pq.write_table(pa.table({"file": ["a.jpg"], "cat": [True], "dog": [0.0]}), tmp_path / "wide.parquet")
    assert by_file(read(tmp_path, "parquet", annotations={"train": "wide.parquet"})) == {"a.jpg": ("", {"cat"}, set())}


def test_bad_parquet(tmp_path: Path) -> None:
    (tmp_path / "l.parquet").write_bytes(b"PAR1 no PAR1")
    refused("not valid Parquet", tmp_path, "parquet", annotations={"train": "l.parquet"})
    pq.write_table(pa.table({"file": [1], "labels": ["cat"]}), tmp_path / "l.parquet")
    refused("1 names no file.*row 1", tmp_path, "parquet", annotations={"train": "l.parquet"})
    refused("missing", tmp_path, "parquet", annotations={"train": "other.parquet"})


def test_parquet_with_too_many_rows(tmp_path: Path) -> None:
    many = pa.array(["a.jpg"] * 2_000_001).dictionary_encode()
    pq.write_table(pa.table({"file": many, "labels": many}), tmp_path / "l.parquet")
    refused("2,000,001 rows", tmp_path, "parquet", annotations={"train": "l.parquet"})


def test_a_folder_tree(tmp_path: Path) -> None:
    names = ("cat/1.jpg", "cat/sofa/2.JPG", "cat; dog/3.png", "4.jpg", "dog/notes.txt", ".trash/5.jpg", "dog/.6.jpg")
    source = read(put(tmp_path, dict.fromkeys(names, "")), "folder")
    assert source.classes == ("cat", "dog", "sofa")
    assert by_file(source) == {
        "4.jpg": ("", set(), set()),
        "cat/1.jpg": ("", {"cat"}, set()),
        "cat/sofa/2.JPG": ("", {"cat", "sofa"}, set()),
        "cat; dog/3.png": ("", {"cat", "dog"}, set()),
    }


def test_one_folder_tree_per_split(tmp_path: Path) -> None:
    put(tmp_path, dict.fromkeys(("a/train/cat/1.jpg", "a/test/dog/2.jpg", "cat/3.jpg"), ""))
    source = read(tmp_path, "folder", images={"train": "a/train", "test": "a/test"})
    assert by_file(source) == {
        "a/train/cat/1.jpg": ("train", {"cat"}, set()),
        "a/test/dog/2.jpg": ("test", {"dog"}, set()),
    }
    refused("folder of photos is missing", tmp_path, "folder", images={"train": "b"})
    refused("leaves the data root", tmp_path, "folder", images={"train": ".."})


def test_a_file_name_that_is_not_utf8(tmp_path: Path) -> None:
    put(tmp_path, {"cat/1.jpg": ""})
    (tmp_path / "cat/\udcff.jpg").write_bytes(b"")
    refused(r"cat/\\xff\.jpg is not UTF-8", tmp_path, "folder")


JSONL = {"train": "m.jsonl"}
JSON = {"train": "export.json"}
FEATURES = {
    "dataset_info.json": json.dumps(
        {"features": {"labels": {"feature": {"names": ["dog", "cat"], "_type": "ClassLabel"}}}}
    ),
    "README.md": "---\ndataset_info:\n  features:\n  - name: labels\n    sequence:\n      class_label:\n"
    "        names:\n          '0': dog\n          '1': cat\n---\n# Photos\n",
}


@pytest.mark.parametrize("about", FEATURES)
def test_indexes_of_a_class_label(tmp_path: Path, about: str) -> None:
    lines = (
        '{"file_name": "a.jpg", "labels": [1, 0], "iso": 100}\n\n{"file_name": "b.jpg", "labels": ["cat"], "box": [1]}'
    )
    source = read(put(tmp_path, {"m.jsonl": lines, about: FEATURES[about]}), "jsonl", annotations=JSONL)
    assert source.classes == ("dog", "cat")
    assert by_file(source) == {"a.jpg": ("", {"cat", "dog"}, set()), "b.jpg": ("", {"cat"}, set())}
    assert source.images[0].slices == {"iso": 100.0}
    put(tmp_path, {"m.jsonl": '{"file_name": "a.jpg", "labels": [2]}'})
    refused("2 is not one of the 2 classes.*line 1", tmp_path, "jsonl", annotations=JSONL)


@pytest.mark.parametrize(
    "labels", ['"labels": ["7", "cat"]', '"label": "7;cat"', '"objects": {"categories": [7, "cat"]}']
)
def test_labels_without_a_class_list_are_names(tmp_path: Path, labels: str) -> None:
    put(tmp_path, {"m.jsonl": f'{{"file_name": "a.jpg", "split": "test", {labels}}}'})
    assert by_file(read(tmp_path, "jsonl", annotations=JSONL)) == {"a.jpg": ("test", {"7", "cat"}, set())}


BAD_JSONL = {
    "no JSON": ("{", "not JSON.*line 1"),
    "no object": ("[1]", "not a JSON object"),
    "no labels": ('{"file_name": "a.jpg"}', "no labels"),
    "two kinds": ('{"file_name": "a.jpg", "label": "a", "labels": ["a"]}', "two kinds of labels"),
    "no file": ('{"labels": ["a"]}', "names no file"),
    "nested": ("[" * 10_000, "not JSON"),
    "labels in labels": ('{"file_name": "a.jpg", "labels": [["a"]]}', "Labels are names"),
    "half a letter": ('{"file_name": "a.jpg", "labels": ["\\ud800"]}', "Labels are names"),
}


@pytest.mark.parametrize("name", BAD_JSONL)
def test_bad_lines(tmp_path: Path, name: str) -> None:
    put(tmp_path, {"m.jsonl": BAD_JSONL[name][0]})
    refused(BAD_JSONL[name][1], tmp_path, "jsonl", annotations=JSONL)


YOLO = {
    "data.yaml": "path: ../somewhere/else\ntrain: images/train\nval: images/val\nnames:\n  0: cat\n  1: dog\n",
    "images/train/1.jpg": "",
    "labels/train/1.txt": "1 .5 .5 .1 .1\n1 .2 .2 .1 .1\n\n0 .1 .2 .3 .4 .5 .6\n",
    "images/train/2.jpg": "",
    "images/val/3.jpg": "",
    "labels/val/3.txt": "0 .5 .5 1 1\n",
}


def test_a_yolo_export(tmp_path: Path) -> None:
    source = read(put(tmp_path, YOLO), "yolo", annotations={"train": "data.yaml"})
    assert source.classes == ("cat", "dog")
    assert by_file(source) == {
        "images/train/1.jpg": ("train", {"cat", "dog"}, set()),
        "images/train/2.jpg": ("train", set(), set()),
        "images/val/3.jpg": ("test", {"cat"}, set()),
    }
    put(tmp_path, {"images/test/4.jpg": "", "data.yaml": YOLO["data.yaml"] + "test: ../images/test\n"})
    source = read(tmp_path, "yolo", annotations={"train": "data.yaml"})
    assert {image.file: image.split for image in source.images} == {
        "images/train/1.jpg": "train", "images/train/2.jpg": "train", "images/val/3.jpg": "select",
        "images/test/4.jpg": "test",
    }  # fmt: skip


BAD_YOLO = {
    "an unknown class": ({"labels/train/1.txt": "2 0 0 1 1"}, "'2', which is not an index of the 2 classes"),
    "a gap": ({"data.yaml": "train: images/train\nnames: {0: cat, 2: dog}"}, "without a gap"),
    "another count": ({"data.yaml": "train: images/train\nnames: [cat]\nnc: 2"}, "nc is 2, but there are 1"),
    "no names": ({"data.yaml": "train: images/train"}, "share a name, or one has none"),
    "no folder": ({"data.yaml": "train: photos\nnames: [cat]"}, "The folder 'photos' does not exist"),
    "aliases": ({"data.yaml": "a: &a [1]\nb: *a"}, "aliases"),
    "code": ({"data.yaml": "!!python/object/apply:os.system [ls]"}, "not YAML"),
}


@pytest.mark.parametrize("name", BAD_YOLO)
def test_bad_yolo(tmp_path: Path, name: str) -> None:
    put(put(tmp_path, YOLO), BAD_YOLO[name][0])
    refused(BAD_YOLO[name][1], tmp_path, "yolo", annotations={"train": "data.yaml"})


def task(image: str, *annotations: list[tuple[str, list[str]]], **more: Any) -> dict[str, Any]:
    items = [{"result": [{"value": {kind: names}} for kind, names in labels], **more} for labels in annotations]
    return {"data": {"image": image}, "annotations": items}


def test_a_label_studio_export(tmp_path: Path) -> None:
    tasks = [
        task("/data/upload/3/0a1b2c3d-a.jpg", [("choices", ["cat"]), ("rectanglelabels", ["dog"])]),
        task("/data/local-files/?d=deep/b%20b.jpg", [("choices", ["cat", "dog"])], [("choices", ["cat"])]),
        task("https://example.org/x/c.jpg?k=1", []),
        task("d.jpg"),
        task("e.jpg", [("choices", ["cat"])], was_cancelled=True),
    ]
    put(tmp_path, {"p/a.jpg": "", "p/deep/b b.jpg": "", "p/c.jpg": "", "export.json": json.dumps(tasks)})
    source = read(tmp_path, "labelstudio", annotations={"train": "export.json"}, images={"train": "p"})
    assert by_file(source) == {
        "p/a.jpg": ("", {"cat", "dog"}, set()),
        "p/deep/b b.jpg": ("", {"cat"}, {"dog"}),
        "p/c.jpg": ("", set(), set()),
    }
    assert source.notes == ["Tasks that nobody has finished are left out: 2"]


BAD_TASKS = {
    "JSON-MIN": ([{"image": "a.jpg", "choice": "cat"}], "has no data.*task 1.*JSON-MIN"),
    "no list": ({"tasks": []}, "not a list of tasks"),
    "no photo": ([{**task("a.jpg", []), "data": {"text": "hello"}}], "does not name its photo"),
    "labels of no kind": ([task("a.jpg", [("choices", "cat")])], "not a list of names"),  # type: ignore[list-item]
}


@pytest.mark.parametrize("name", BAD_TASKS)
def test_bad_tasks(tmp_path: Path, name: str) -> None:
    put(tmp_path, {"export.json": json.dumps(BAD_TASKS[name][0])})
    refused(BAD_TASKS[name][1], tmp_path, "labelstudio", annotations={"train": "export.json"})


def test_one_coco_file_assigns_no_splits(tmp_path: Path) -> None:
    value = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "annotations": [{"image_id": 1, "category_id": 1}],
        "categories": [{"id": 1, "name": "cat"}],
    }
    put(tmp_path, {"all.json": json.dumps(value)})
    assert by_file(read(tmp_path, "coco", annotations={"train": "all.json"})) == {"a.jpg": ("", {"cat"}, set())}


def test_an_error_about_a_lone_surrogate_can_be_printed() -> None:
    assert str(SadclError("The name \ud800 is bad", where="x\udcff")) == r"The name \ud800 is bad (x\udcff)."


@pytest.mark.parametrize(
    "header", ["File;Labels;Split;width", "filename\tlabels\tsplit\twidth", "image,LABELS,split,width"]
)
def test_csv_variants_of_spreadsheets(tmp_path: Path, header: str) -> None:
    mark = next(mark for mark in ";\t," if mark in header)
    rows = [mark.join(row) for row in (("a.jpg", '"cat;dog"', "Training", "3"), ("b.jpg", "cat", "valid", "x"))]
    put(tmp_path, {"l.csv": "\n".join([header, *rows])})
    source = read(tmp_path, "csv", annotations={"train": "l.csv"})
    assert by_file(source) == {"a.jpg": ("train", {"cat", "dog"}, set()), "b.jpg": ("test", {"cat"}, set())}
    assert not any(image.slices for image in source.images)


def test_jsonl_metadata_of_detection_sets(tmp_path: Path) -> None:
    lines = [
        {
            "file_name": f"{i}.jpg",
            "image_id": i,
            "width": 4,
            "height": 3,
            "split": split,
            "objects": {"categories": [1]},
        }
        for i, split in enumerate(("train", "dev", "test"))
    ]
    put(tmp_path, {"m.jsonl": "\n".join(map(json.dumps, lines))})
    source = read(tmp_path, "jsonl", annotations=JSONL)
    assert [image.split for image in source.images] == ["train", "select", "test"]


def test_a_missing_test_folder_of_a_yolo_export_is_ignored(tmp_path: Path) -> None:
    put(tmp_path, {**YOLO, "data.yaml": YOLO["data.yaml"] + "test: ../test/images\n"})
    source = read(tmp_path, "yolo", annotations={"train": "data.yaml"})
    assert {image.split for image in source.images} == {"train", "test"}


def test_two_label_studio_controls_with_the_same_choice(tmp_path: Path) -> None:
    exported = {"data": {"image": "a.jpg"}, "annotations": [{"result": []}]}
    for control in ("cat", "dog"):
        exported["annotations"][0]["result"].append({"from_name": control, "value": {"choices": ["yes"]}})  # type: ignore[index]
    put(tmp_path, {"export.json": json.dumps([exported])})
    refused("'yes' is a choice of two controls, 'cat' and 'dog'", tmp_path, "labelstudio", annotations=JSON)


@pytest.mark.parametrize(
    ("address", "file"),
    [
        ("/data/local-files/?d=x/a+b.jpg", "x/a+b.jpg"),
        ("/data/local-files/?d=x/a+b.jpg", "x/a b.jpg"),
        ("/data/local-files/?d=x/a%2Bb#1.jpg", "x/a+b#1.jpg"),
        ("/data/upload/1/0a1b2c3d-a#1.jpg", "a#1.jpg"),
        ("s3://bucket/x/a+b#1.jpg", "a+b#1.jpg"),
        ("/data/upload/1/#1.jpg", "#1.jpg"),
        ("/data/upload/1/a#1.jpg", "A#1.JPG"),
        ("https://host/x/1.jpg#top", "1.jpg"),
    ],
)
def test_marks_in_names_of_label_studios_photos(tmp_path: Path, address: str, file: str) -> None:
    put(tmp_path, {f"p/{file}": "", "export.json": json.dumps([task(address, [("choices", ["cat"])])])})
    source = read(tmp_path, "labelstudio", annotations=JSON, images={"train": "p"})
    assert [image.file for image in source.images] == [f"p/{file}"]


def test_a_folder_with_a_link_loop(tmp_path: Path) -> None:
    put(tmp_path, {"cat/1.jpg": ""})
    (tmp_path / "cat/again").symlink_to("..")
    refused("contains itself", tmp_path, "folder")


def test_a_folder_that_many_links_lead_to_is_read_once(tmp_path: Path) -> None:
    for number in range(16):
        put(tmp_path, {f"{number}/1.jpg": ""})
        for name in ("a", "b"):
            (tmp_path / f"{number}/{name}").symlink_to(f"../{number + 1}")
    (tmp_path / "16").mkdir()
    assert list_photos(tmp_path, "") == sorted(f"{number}/1.jpg" for number in range(16))
    assert len(list_photos(tmp_path, "0")) == 16


def test_every_suffix_of_a_supported_format_is_known() -> None:
    assert {end for end, kind in Image.registered_extensions().items() if kind in FORMATS} <= SUFFIXES


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        ("{'cup': 1, 'plate': 0.0, 'bowl': -1, 'pan': None}", {"cup"}),
        ("{'cup': 'yes', 'plate': '1'}", {"cup", "plate"}),
    ],
)
def test_dictionaries_of_flags_in_cells(tmp_path: Path, cell: str, labels: set[str]) -> None:
    put(tmp_path, {"a.csv": f'file,labels\n1.jpg,"{cell}"\n2.jpg,"[]"\n'})
    source = read(tmp_path, "csv", annotations={"train": "a.csv"}, separator="[]")
    assert by_file(source)["1.jpg"][1] == labels


def test_dictionaries_of_scores_in_cells_are_refused(tmp_path: Path) -> None:
    put(tmp_path, {"a.csv": "file,labels\n1.jpg,\"{'cup': 0.93, 'plate': 0.02}\"\n"})
    refused(
        r"value 0.93, which says neither.*a.csv, line 2",
        tmp_path,
        "csv",
        annotations={"train": "a.csv"},
        separator="[]",
    )


@pytest.mark.parametrize("names", ["2023_01 2023_02", "1 2_0"])
def test_slices_with_an_underscore_are_text(tmp_path: Path, names: str) -> None:
    first, second = names.split()
    put(tmp_path, {"a.csv": f"file,labels,month\n1.jpg,cup,{first}\n2.jpg,pan,{second}\n"})
    source = read(tmp_path, "csv", annotations={"train": "a.csv"})
    assert [image.slices["month"] for image in source.images] == [first, second]
