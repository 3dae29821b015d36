"""COCO at full size, and what is odd or hostile in an instances JSON."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sadcl import params
from sadcl.data import sources
from sadcl.errors import SadclError
from tests.data.sources import reading
from tests.data.sources.reading import by_file, labels_of, put, recognised
from tests.paths import GOLDEN_FOLDER

GOLDEN = GOLDEN_FOLDER / "coco14_labels.npz"

READ = """
import json, re, sys
from pathlib import Path
from sadcl import params
from sadcl.data import sources

names = {"train": "train.json", "test": "test.json"}
source = sources.read_source(Path(), params.Ingest(source="x", annotations=names, images={"train": "train2014"}))
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())  # getrusage counts the parent's, too
images = [(image.image_id, image.file, image.labels) for image in source.images if image.split == "train"]
print(json.dumps({"peak": int(peak[1]) * 1024, "classes": source.classes, "images": images}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("annotations", [None, 600_000], ids=["one annotation a label", "600,000 annotations"])
def test_coco_2014_at_full_size_is_read_exactly_and_in_little_memory(tmp_path: Path, annotations: int | None) -> None:
    """82,081 images, by the label matrix of train2014."""
    golden = np.load(GOLDEN)
    matrix = np.unpackbits(golden["train_labels_packed"], axis=1)
    rows, columns = np.nonzero(matrix)
    if annotations is not None:  # some objects of a class more than once, and in no order
        rng = np.random.default_rng(0)
        order = rng.permutation(np.r_[: len(rows), rng.integers(0, len(rows), annotations - len(rows))])
        rows, columns = rows[order], columns[order]
    ids, categories = golden["train_ids"].tolist(), golden["category_ids"].tolist()
    names = golden["category_names"].tolist()
    listed = [
        {"id": number, "name": name, "supercategory": "x"} for number, name in zip(categories, names, strict=True)
    ]
    images = [
        {"id": i, "file_name": f"COCO_train2014_{i:012d}.jpg", "width": 640, "height": 480, "license": 5} for i in ids
    ]
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    labels = [
        {"id": n, "image_id": ids[row], "category_id": categories[column], "bbox": [1.5, 2.5, 30.0, 40.0], "iscrowd": 0}
        for n, (row, column) in enumerate(pairs)
    ]
    (tmp_path / "train.json").write_text(
        json.dumps({"images": images, "annotations": labels, "categories": listed[::-1]})
    )
    (tmp_path / "test.json").write_text(json.dumps({"images": [], "annotations": [], "categories": listed}))
    del images, labels
    done = subprocess.run([sys.executable, "-c", READ], cwd=tmp_path, check=True, capture_output=True)
    source = json.loads(done.stdout)
    assert source["classes"] == names
    assert [image for image, *_ in source["images"]] == [str(i) for i in ids]
    assert source["images"][0][1] == "train2014/COCO_train2014_000000000009.jpg"
    read = np.zeros_like(matrix)
    for row, (*_, present) in enumerate(source["images"]):
        read[row, present] = 1
    assert np.array_equal(read, matrix)
    assert source["peak"] < 0.5e9  # outlines, which are not written here, may then take as much again and more


def one(file_name: Any = "a.jpg", **annotation: Any) -> dict[str, Any]:
    return {
        "images": [{"id": 1, "file_name": file_name}],
        "annotations": [{"image_id": 1, "category_id": 1, **annotation}],
        "categories": [{"id": 1, "name": "cat"}],
    }


def read(root: Path, train: str) -> sources.Source:
    (root / "train.json").write_text(train, encoding="utf-8")
    (root / "test.json").write_text(json.dumps({**one(), "images": [], "annotations": []}))
    names = {"train": "train.json", "test": "test.json"}
    return sources.read_source(root, params.Ingest(source="x", annotations=names, images={"train": "photos"}))


@pytest.mark.parametrize("name", ["a\nb.jpg", "\"a'.jpg", "🐈.jpg", "a b.jpg", "a.jpg ", "n" * 251 + ".jpg"])
def test_a_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    assert read(tmp_path, json.dumps(one(name))).images[0].file == f"photos/{name}"


def test_names_that_differ_by_case_are_two(tmp_path: Path) -> None:
    value = one()
    value["images"].append({"id": 2, "file_name": "A.jpg"})
    assert [image.file for image in read(tmp_path, json.dumps(value)).images] == ["photos/a.jpg", "photos/A.jpg"]


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


DIGITS = "9" * 10_000
BAD: dict[str, tuple[Callable[[], str], str]] = {
    "nested 10,000 deep": (lambda: '{"images": ' + "[" * 10_000 + "]" * 10_000 + "}", "not JSON"),
    "objects nested 10,000 deep": (lambda: '{"a": ' * 10_000 + "1" + "}" * 10_000, "not JSON"),
    "nested as deep as can be parsed": (lambda: json.dumps(one(category_id=deep(900))), r"category \[\[\["),
    "a number of 10,000 digits": (
        lambda: json.dumps(one(category_id=0)).replace('y_id": 0', f'y_id": {DIGITS}'),
        "not JSON",
    ),
    "a number as a word of 10,000 digits": (lambda: json.dumps(one(category_id=DIGITS)), "not a whole number"),
    "a number without end": (lambda: json.dumps(one(image_id=float("nan"))), "no usable image id: nan"),
    "a label that is a number beyond floats": (lambda: json.dumps(one(category_id=10**400)), "unknown category"),
    "a label as a name": (lambda: json.dumps(one(category_id="cat")), "not a whole number"),
    "half a character as an id": (lambda: json.dumps(one(image_id="\ud800")), "no usable image id"),
    "half a character as the item's own": (lambda: json.dumps(one(id="\ud800", category_id=2)), "Annotation number 1"),
    "a number as a name": (lambda: json.dumps(one(7)), "Image 1 has no file_name"),
    "a very long word": (lambda: json.dumps(one(image_id="x" * 1_000_000)), "unknown image x"),
}


@pytest.mark.parametrize("name", BAD)
def test_hostile_input_ends_in_a_short_error(tmp_path: Path, name: str) -> None:
    make, words = BAD[name]
    with pytest.raises(SadclError, match=words) as caught:
        read(tmp_path, make())
    message = str(caught.value)
    assert len(message) < 600
    message.encode()


def test_a_folder_where_a_file_should_be(tmp_path: Path) -> None:
    (tmp_path / "train.json").mkdir()
    with pytest.raises(SadclError, match=r"read.*train\.json"):
        sources.read_source(
            tmp_path, params.Ingest(source="x", annotations={"train": "train.json", "test": "t.json"}, images={})
        )


def exported(
    names: dict[int, str], labels: dict[str, list[int]], above: dict[int, str] | None = None, start: int = 0
) -> str:
    """COCO by category ids of each photo, with image ids from ``start``."""
    listed = [{"id": i, "name": name, "supercategory": (above or {}).get(i, "none")} for i, name in names.items()]
    images = [{"id": i, "file_name": name} for i, name in enumerate(labels, start=start)]
    pairs = [(i, c) for i, ids in enumerate(labels.values(), start=start) for c in ids]
    annotations = [{"id": n, "image_id": i, "category_id": c} for n, (i, c) in enumerate(pairs)]
    return json.dumps({"info": {}, "categories": listed, "images": images, "annotations": annotations})


SPLITS = {name: f"{name}/_annotations.coco.json" for name in ("train", "select", "test")}
FOLDERS = {name: name for name in SPLITS}


def test_ids_that_restart_in_each_file_become_paths(tmp_path: Path) -> None:
    for number, name in enumerate(SPLITS.values()):
        put(tmp_path, {name: exported({0: "cup", 1: "plate"}, {f"{number}.jpg": [number % 2]})})
    source = reading.read(tmp_path, "coco", SPLITS, images=FOLDERS)
    assert [image.image_id for image in source.images] == ["train/0.jpg", "select/1.jpg", "test/2.jpg"]
    assert labels_of(source) == {"train/0.jpg": {"cup"}, "select/1.jpg": {"plate"}, "test/2.jpg": {"cup"}}


ROOTS: dict[str, tuple[dict[int, str], dict[int, str], list[int], tuple[str, ...], int]] = {
    "a root of another name": (
        {0: "kitchen", 1: "cup", 2: "plate"},
        {1: "kitchen", 2: "kitchen"},
        [1],
        ("cup", "plate"),
        1,
    ),
    "a root of the same name": ({0: "cup", 1: "cup", 2: "plate"}, {1: "cup", 2: "cup"}, [1], ("cup", "plate"), 0),
    "two of one name that are used": ({4: "cup ", 7: "cup", 9: "plate"}, {}, [4, 7], ("cup", "plate"), 0),
    "a root that is used": ({0: "cup", 1: "mug"}, {1: "cup"}, [0, 1], ("cup", "mug"), 0),
    "unused, but no root": ({0: "cup", 1: "plate"}, {0: "cup", 1: "x"}, [1], ("cup", "plate"), 0),
    "nothing but roots": ({0: "cup", 1: "plate"}, {0: "plate", 1: "cup"}, [], ("cup", "plate"), 0),
}


@pytest.mark.parametrize("name", ROOTS)
def test_categories_that_are_no_classes(tmp_path: Path, name: str) -> None:
    names, above, used, classes, notes = ROOTS[name]
    put(tmp_path, {"all.json": exported(names, {"1.jpg": used}, above)})
    source = reading.read(tmp_path, "coco", "all.json")
    assert source.classes == classes
    assert len(source.notes) == notes
    assert labels_of(source)["1.jpg"] == {names[i].strip() for i in used}


def test_categories_of_another_order_are_matched_by_name(tmp_path: Path) -> None:
    put(tmp_path, {SPLITS["train"]: exported({1: "cup", 2: "plate"}, {"1.jpg": [1]})})
    put(tmp_path, {SPLITS["test"]: exported({1: "plate", 5: "cup"}, {"2.jpg": [1]})})
    lists = {split: SPLITS[split] for split in ("train", "test")}
    source = reading.read(tmp_path, "coco", lists, images={split: split for split in lists})
    assert source.classes == ("cup", "plate")
    assert labels_of(source) == {"train/1.jpg": {"cup"}, "test/2.jpg": {"plate"}}


def test_classes_that_another_job_does_not_list_are_unknown_there(tmp_path: Path) -> None:
    put(tmp_path, {"1/a.json": exported({1: "cup"}, {"1.jpg": [1]}), "2/a.json": exported({1: "plate"}, {"1.jpg": []})})
    source = reading.read(tmp_path, "coco", ["1/a.json", "2/a.json"])
    assert by_file(source) == {"1/1.jpg": ("", {"cup"}, {"plate"}), "2/1.jpg": ("", set(), {"cup"})}


def test_lvis_knows_some_classes_of_each_photo(tmp_path: Path) -> None:
    value = json.loads(exported({1: "cup", 2: "plate", 3: "pan"}, {"1.jpg": [1], "2.jpg": []}))
    value["images"][0] |= {"neg_category_ids": [2], "not_exhaustive_category_ids": [1]}
    value["images"][1] |= {"neg_category_ids": [], "not_exhaustive_category_ids": []}
    for image in value["images"]:
        image["coco_url"] = f"http://images.cocodataset.org/train2017/{image.pop('file_name')}"
    put(tmp_path, {"lvis.json": json.dumps(value)})
    assert recognised(tmp_path / "lvis.json") == "coco"
    assert by_file(reading.read(tmp_path, "coco", "lvis.json")) == {
        "train2017/1.jpg": ("", {"cup"}, {"pan"}),
        "train2017/2.jpg": ("", set(), {"cup", "plate", "pan"}),
    }


def test_a_file_without_annotations_is_read(tmp_path: Path) -> None:
    put(tmp_path, {"a.json": exported({1: "cup"}, {"1.jpg": [], "2.jpg": []})})
    assert recognised(tmp_path / "a.json") == "coco"
    assert labels_of(reading.read(tmp_path, "coco", "a.json")) == {"1.jpg": set(), "2.jpg": set()}


def test_a_panoptic_file(tmp_path: Path) -> None:
    value = json.loads(exported({1: "cup", 2: "plate"}, {"1.jpg": []}))
    value["annotations"] = [{"image_id": 0, "file_name": "1.png", "segments_info": [{"id": 9, "category_id": 2}]}]
    put(tmp_path, {"a.json": json.dumps(value)})
    assert labels_of(reading.read(tmp_path, "coco", "a.json")) == {"1.jpg": {"plate"}}


@pytest.mark.parametrize("name", ["/data/set/1.jpg", r"C:\set\1.jpg", "https://host/set/1.jpg?key=x"])
def test_photos_of_another_computer_keep_their_path_below_its_root(tmp_path: Path, name: str) -> None:
    put(tmp_path, {"a.json": exported({1: "cup"}, {name: [1]})})
    assert [image.file for image in reading.read(tmp_path, "coco", "a.json").images] in (
        ["data/set/1.jpg"],
        ["set/1.jpg"],
    )


def test_a_large_or_damaged_file_is_recognised_by_its_beginning(tmp_path: Path) -> None:
    images = ", ".join(json.dumps({"id": i, "file_name": f"{i}.jpg"}) for i in range(50_000))
    put(
        tmp_path,
        {
            "large.json": f'{{"images": [{images}], "annotations": [',
            "cut.json": exported({1: "a"}, {"1.jpg": [1]})[:-9],
        },
    )
    put(tmp_path, {"other.json": '{"images": ["a.jpg"], "annotations": {}}'})
    captions = {"images": [{"id": 1, "file_name": "1.jpg"}], "annotations": [{"image_id": 1, "caption": "a cup"}]}
    put(tmp_path, {"captions.json": json.dumps(captions)})
    assert recognised(tmp_path / "captions.json") == ""
    assert [recognised(tmp_path / f"{name}.json") for name in ("large", "cut", "other")] == ["coco", "coco", ""]
