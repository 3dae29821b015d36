"""Annotation files: labels of valid ones, and the error message for each kind of invalid one."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sadcl import params
from sadcl.data import sources
from sadcl.errors import SadclError


def coco() -> dict[str, Any]:
    """Image-level labels are enough: no boxes, no info, no licences."""
    return {
        "images": [
            {"id": 7, "file_name": "a.jpg"},
            {"id": 8, "file_name": "deep/b.jpg"},
            {"id": 9, "file_name": "c.jpg"},
        ],
        "annotations": [
            {"image_id": 7, "category_id": 90},
            {"id": 2, "image_id": 7, "category_id": 3, "bbox": [1, 2, 3, 4], "area": 12, "iscrowd": 0},
            {"id": 3, "image_id": 7, "category_id": 3, "iscrowd": 1, "segmentation": {"size": [2, 2], "counts": [4]}},
            {"id": 4, "image_id": 8, "category_id": 17, "iscrowd": 1},
        ],
        "categories": [{"id": 90, "name": "toothbrush"}, {"id": 3, "name": "car"}, {"id": 17, "name": "cat"}],
    }


def held_out() -> dict[str, Any]:
    value = coco()
    value["images"] = [{"id": "t1", "file_name": "t.jpg"}]
    value["annotations"] = [{"image_id": "t1", "category_id": 3}]
    return value


def settings(**changes: Any) -> params.Ingest:
    defaults = {
        "source": "own",
        "annotations": {"train": "train.json", "test": "test.json"},
        "images": {"train": "photos", "test": "photos"},
    }
    return params.Ingest.model_validate({**defaults, **changes})


def read_coco(root: Path, train: Any, test: Any = None) -> sources.Source:
    for name, value in (("train.json", train), ("test.json", held_out() if test is None else test)):
        (root / name).write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return sources.read_source(root, settings())


def test_labels_of_a_coco_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = read_coco(tmp_path, coco())
    assert source.classes == ("car", "cat", "toothbrush")
    assert {image.image_id: (image.file, image.split, image.labels) for image in source.images} == {
        "7": ("photos/a.jpg", "train", (0, 2)),
        "8": ("photos/deep/b.jpg", "train", (1,)),
        "9": ("photos/c.jpg", "train", ()),
        "t1": ("photos/t.jpg", "test", (0,)),
    }
    assert capsys.readouterr() == ("", "")


def test_ids_as_numbers_and_as_text_are_equal(tmp_path: Path) -> None:
    value = coco()
    value["images"][0]["id"], value["images"][1]["id"] = "7", 8.0
    value["annotations"][0]["category_id"] = "90"
    value["categories"][1]["id"] = 3.0
    assert read_coco(tmp_path, value) == read_coco(tmp_path, coco())


def edited(edit: Callable[[dict[str, Any]], Any]) -> Callable[[], Any]:
    def make() -> Any:
        value = copy.deepcopy(coco())
        return edit(value) or value

    return make


BAD_COCO: dict[str, tuple[Callable[[], Any], str]] = {
    "truncated": (lambda: json.dumps(coco())[:200], "not JSON"),
    "empty": (lambda: "", "not JSON"),
    "nested without end": (lambda: "[" * 100_000, "not JSON"),
    "a list": (lambda: [coco()], "not an object"),
    "no images": (edited(lambda v: v.pop("images") and None), "no list 'images'"),
    "no annotations": (edited(lambda v: v.pop("annotations") and None), "no list 'annotations'"),
    "categories as words": (edited(lambda v: v.update(categories="car")), "no list 'categories'"),
    "no category": (edited(lambda v: v.update(categories=[], annotations=[])), "no categories"),
    "duplicate image ids": (edited(lambda v: v["images"].append({"id": "8", "file_name": "d.jpg"})), "have the id 8"),
    "one file twice": (edited(lambda v: v["images"].append({"id": 10, "file_name": "./a.jpg"})), "same file"),
    "unknown image": (
        edited(lambda v: v["annotations"][1].update(image_id=5)),
        "Annotation 2 is for the unknown image 5",
    ),
    "unknown category": (edited(lambda v: v["annotations"][3].update(category_id=4)), "Annotation 4 .* category 4"),
    "category of no kind": (edited(lambda v: v["annotations"][0].update(category_id=None)), "number 1 .* None"),
    "category of half a kind": (edited(lambda v: v["annotations"][0].update(category_id=1.5)), "1.5"),
    "category beyond all": (edited(lambda v: v["categories"][0].update(id=float("inf"))), "whole number"),
    "annotation of a word": (edited(lambda v: v["annotations"].append("car")), "Annotation number 5 is not an object"),
    "no image id": (edited(lambda v: v["images"][0].pop("id") and None), "Image number 1 has no usable image id"),
    "no file name": (edited(lambda v: v["images"][0].pop("file_name") and None), "Image 7 has no file_name"),
    "half a letter": (edited(lambda v: v["images"][0].update(file_name="\ud800.jpg")), "Image 7 has no file_name"),
    "no class name": (edited(lambda v: v["categories"][0].update(name=" ")), "Category 90 has no name"),
    "class ids twice": (edited(lambda v: v["categories"][0].update(id=3)), "have the id 3"),
    "leaves": (edited(lambda v: v["images"][0].update(file_name="../../secret.jpg")), "leaves the data root"),
    "leaves with \\": (edited(lambda v: v["images"][0].update(file_name="..\\..\\secret.jpg")), "leaves the data root"),
    "NUL": (edited(lambda v: v["images"][0].update(file_name="a\0.jpg")), "leaves the data root"),
    "a folder": (edited(lambda v: v["images"][0].update(file_name="deep/")), "names no file"),
    "other classes": (
        edited(lambda v: v["categories"][0].update(name="broom")),
        "it lacks 'broom' and it adds 'toothbrush'",
    ),
    "a photo of test": (edited(lambda v: v["images"][0].update(file_name="t.jpg")), "in train and in test"),
}


@pytest.mark.parametrize("name", BAD_COCO)
def test_bad_coco_is_refused_with_file_and_item(tmp_path: Path, name: str) -> None:
    make, words = BAD_COCO[name]
    with pytest.raises(SadclError, match=words) as caught:
        read_coco(tmp_path, make())
    assert str(tmp_path) in str(caught.value)
    assert caught.value.fix


def test_a_path_with_dots_may_stay_inside_the_source(tmp_path: Path) -> None:
    value = coco()
    value["images"][0]["file_name"] = "../other\\a.jpg"
    assert read_coco(tmp_path, value).images[0].file == "other/a.jpg"


def test_missing_files_folders_and_formats(tmp_path: Path) -> None:
    with pytest.raises(SadclError, match=r"missing.*train\.json"):
        sources.read_source(tmp_path, settings())
    with pytest.raises(SadclError, match="sadcl data scenes"):
        sources.read_source(tmp_path / "nowhere", settings())
    with pytest.raises(SadclError, match="Choose one of coco, csv"):
        sources.read_source(tmp_path, settings(format="voice"))
    with pytest.raises(SadclError, match="leaves the data root"):
        sources.read_source(tmp_path, settings(annotations={"train": "../train.json", "test": "test.json"}))
    with pytest.raises(SadclError, match="one for test"):
        sources.read_source(tmp_path, settings(annotations={"train": "train.json", "select": "train.json"}))


def read_csv(root: Path, text: str, **more: str) -> sources.Source:
    names = {"train": "labels.csv", **{split: f"{split}.csv" for split in more}}
    for name, value in zip(names.values(), (text, *more.values()), strict=True):
        (root / name).write_bytes(value.encode())
    return sources.read_source(root, settings(format="csv", annotations=names, images={"train": "."}))


def test_csv_with_splits_and_slices(tmp_path: Path) -> None:
    text = "\ufefffile, labels ,split,place,iso\r\na.jpg,dog; cat;dog,test,Rome,100\r\n\r\nb/ü.jpg,,,,200.5\r\n"
    source = read_csv(tmp_path, text)
    assert source.classes == ("cat", "dog")
    assert source.images == [
        sources.Image("a.jpg", "a.jpg", "test", (0, 1), (), {"place": "Rome", "iso": 100.0}),
        sources.Image("b/ü.jpg", "b/ü.jpg", "", (), (), {"iso": 200.5}),
    ]


def test_one_csv_per_split(tmp_path: Path) -> None:
    source = read_csv(tmp_path, "file,labels\na.jpg,dog\n", test="labels,file\ncat,b.jpg\n")
    assert source.classes == ("cat", "dog")
    assert [(image.file, image.split, image.labels) for image in source.images] == [
        ("a.jpg", "train", (1,)),
        ("b.jpg", "test", (0,)),
    ]


def test_a_slice_column_with_text_stays_text(tmp_path: Path) -> None:
    source = read_csv(tmp_path, "file,labels,room\na.jpg,dog,1\nb.jpg,dog,kitchen\nc.jpg,dog,nan\n")
    assert [image.slices["room"] for image in source.images] == ["1", "kitchen", "nan"]


BAD_CSV = {
    "empty": ("", "no column 'file'"),
    "no header": ("a.jpg,dog\n", "no column 'file'"),
    "no labels": ("file,split\na.jpg,test\n", "no column 'labels'"),
    "labels with commas": ("file,labels\na.jpg,dog,cat\n", "line 2.*Separate labels with ;"),
    "unknown split": ("file,labels,split\na.jpg,dog,none\n", "no split 'none'.*line 2"),
    "a column twice": ("file,labels,x,x\na.jpg,dog,1,2\n", "'x' occurs twice"),
    "a taken column": ("file,labels,ignored\na.jpg,dog,1\n", "'ignored' has a name"),
    "a photo twice": ("file,labels\na.jpg,dog\n./a.jpg,cat\n", "same id 'a.jpg'"),
    "leaves": ("file,labels\n../a.jpg,dog\n", "leaves the data root.*line 2"),
    "no file": ("file,labels\n,dog\n", "names no file"),
    "open quote": ('file,labels\n"a.jpg,dog\n', "not CSV"),
    "no label at all": ("file,labels\na.jpg,\n", "No photo has a label"),
}


@pytest.mark.parametrize("name", BAD_CSV)
def test_bad_csv_is_refused_with_file_and_line(tmp_path: Path, name: str) -> None:
    text, words = BAD_CSV[name]
    with pytest.raises(SadclError, match=words) as caught:
        read_csv(tmp_path, text)
    assert str(tmp_path) in str(caught.value)


def test_csv_that_is_not_utf8_or_missing(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes(b"file,labels\na.jpg,d\x81g\n")
    with pytest.raises(SadclError, match="UTF-8"):
        sources.read_source(tmp_path, settings(format="csv", annotations={"train": "labels.csv"}))
    with pytest.raises(SadclError, match=r"missing.*other\.csv"):
        sources.read_source(tmp_path, settings(format="csv", annotations={"train": "other.csv"}))
    with pytest.raises(SadclError, match="file for train"):
        sources.read_source(tmp_path, settings(format="csv", annotations={"test": "labels.csv"}))
