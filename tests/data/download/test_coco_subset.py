"""Subset of COCO: the listed images with their labels and splits, and all categories."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sadcl import params, pipeline
from sadcl.data import sources
from sadcl.data.download import coco_subset
from sadcl.errors import SadclError
from tests.paths import REPOSITORY

CATEGORIES = [
    {"id": 1, "name": "person", "supercategory": "person"},
    {"id": 3, "name": "car", "supercategory": "vehicle"},
    {"id": 90, "name": "toothbrush", "supercategory": "indoor"},
]
IMAGES = {"train2014": list(range(1, 61)), "val2014": list(range(100, 140))}
LISTED = {"train2014": list(range(2, 60, 3)), "val2014": list(range(101, 140, 4))}


def labels_of(image_id: int) -> set[int]:
    """Category ids; none for some images."""
    return {(1, 3, 90)[i] for i in range(3) if image_id >> i & 1}


def full(source: Path) -> dict[str, Any]:
    """A full COCO in the form of the original; what is in its files."""
    written = {}
    for split, ids in IMAGES.items():
        (source / split).mkdir(parents=True)
        images = [{"id": i, "file_name": f"COCO_{split}_{i:012d}.jpg", "width": 8, "height": 6} for i in ids]
        annotations = [
            {
                "id": 1000 * i + 10 * c + n,
                "image_id": i,
                "category_id": c,
                "iscrowd": n,
                "segmentation": [[0.5, 1, 2, 3]],
            }
            for i in ids
            for c in sorted(labels_of(i))
            for n in range(2)  # the second one is a crowd
        ]
        for image in images:
            pixels = np.full((6, 8, 3), image["id"], dtype=np.uint8)
            Image.fromarray(pixels).save(source / split / str(image["file_name"]))
        written[split] = {
            "info": {"year": 2014}, "licenses": [{"id": 1}], "images": images, "annotations": annotations,
            "categories": CATEGORIES,
        }  # fmt: skip
        path = source / "annotations" / f"instances_{split}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(written[split]))
    return written


def list_of_ids(path: Path, listed: dict[str, list[int]] = LISTED) -> Path:
    rows = [f"{split},{i}" for split, ids in listed.items() for i in ids]
    path.write_text("\n".join(["coco_2014_split,image_id", *rows]) + "\n")
    return path


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("template")
    pipeline.set_up(root)
    (root / "dvc.yaml").write_text("stages: {}\n")
    full(root / "data/raw/coco2014")
    list_of_ids(root / "ids.csv")
    return root


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Path:
    shutil.copytree(template, tmp_path / "project")
    return tmp_path / "project"


def cut(project: Path, name: str = "mini") -> str:
    return coco_subset.cut(project / "ids.csv", project / "data/raw/coco2014", name, root=project)


def is_test(image_id: int) -> bool:
    """The rule that the README states for coco-mini."""
    return int(hashlib.md5(str(image_id).encode()).hexdigest(), 16) % 10 < 3


def test_the_images_of_the_list_and_their_labels_split_by_split(project: Path) -> None:
    assert "30 photos" in cut(project)
    settings = params.Ingest(
        source="mini",
        format="coco",
        annotations={"train": "annotations/instances_train.json", "test": "annotations/instances_test.json"},
        images={"train": "images", "test": "images"},
        select_fraction=0.2,
        keep_unlabelled=True,
        max_pixels=10**6,
    )
    source = sources.read_source(project / "data/raw/mini", settings)
    assert source.classes == ("person", "car", "toothbrush")
    expected = {
        str(i): ("test" if is_test(i) else "train", {(1, 3, 90).index(c) for c in labels_of(i)})
        for ids in LISTED.values()
        for i in ids
    }
    assert {image.image_id: (image.split, set(image.labels)) for image in source.images} == expected
    assert {split for split, _ in expected.values()} == {"train", "test"}
    for image in source.images:
        original = project / "data/raw/coco2014" / ("train2014" if int(image.image_id) < 100 else "val2014")
        copied = project / "data/raw/mini" / image.file
        assert copied.read_bytes() == (original / copied.name).read_bytes()


def test_items_are_those_of_the_full_set(project: Path) -> None:
    cut(project)
    whole = {
        split: json.loads((project / f"data/raw/coco2014/annotations/instances_{split}.json").read_text())
        for split in IMAGES
    }
    images = {image["id"]: {**image, "coco_2014_split": split} for split in IMAGES for image in whole[split]["images"]}
    annotations = {item["id"]: item for split in IMAGES for item in whole[split]["annotations"]}
    for part in ("train", "test"):
        mini = json.loads((project / f"data/raw/mini/annotations/instances_{part}.json").read_text())
        assert [image["id"] for image in mini["images"]] == sorted(image["id"] for image in mini["images"])
        assert all(image == images[image["id"]] for image in mini["images"])
        assert all(item == annotations[item["id"]] for item in mini["annotations"])
        assert mini["categories"] == CATEGORIES
        assert mini["licenses"] == [{"id": 1}]


def test_the_subset_is_tracked_and_links_its_photos(project: Path) -> None:
    cut(project)
    assert (project / "data/raw/mini.dvc").exists()
    photo = next((project / "data/raw/mini/images").iterdir())
    assert photo.stat().st_nlink > 1


def test_missing_images_and_files_are_refused_and_leave_nothing(project: Path) -> None:
    def refused(words: str) -> None:
        with pytest.raises(SadclError, match=words):
            cut(project)
        assert sorted(path.name for path in (project / "data/raw").iterdir()) == ["coco2014"]

    list_of_ids(project / "ids.csv", {"train2014": [2, 3, 777]})
    refused("1 images of the list are not in the annotations; the first is 777")
    list_of_ids(project / "ids.csv", {"test2014": [2]})
    refused(r"The file is missing .*instances_test2014.json.*sadcl data fetch coco2014")
    list_of_ids(project / "ids.csv")
    photo = project / "data/raw/coco2014/train2014/COCO_train2014_000000000005.jpg"
    photo.rename(project / "away.jpg")
    refused(r"A photo of the list is missing .*000000000005.jpg")
    (project / "away.jpg").rename(photo)
    path = project / "data/raw/coco2014/annotations/instances_val2014.json"
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "categories": CATEGORIES[:2]}))
    refused("different categories")
    path.write_text(json.dumps({**data, "images": [1]}))
    refused("holds no COCO instances")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "lacks a column"),
        ("image_id\n5\n", "lacks a column"),
        ("coco_2014_split,image_id\n", "is empty"),
        ("coco_2014_split,image_id\ntrain2014,x\n", "names no image .*line 2"),
        ("coco_2014_split,image_id\n../train2014,5\n", "names no image .*line 2"),
        ("coco_2014_split,image_id\ntrain2014\n", "names no image .*line 2"),
        ("coco_2014_split,image_id\ntrain2014,5\ntrain2014,5\n", "is listed twice .*line 3"),
        ('coco_2014_split,image_id\n"train2014,5\n', "can't be read"),
        ("coco_2014_split,image_id\ntrain2014,\0\n", "can't be read|names no image"),
    ],
)
def test_a_list_that_is_none(project: Path, text: str, words: str) -> None:
    (project / "ids.csv").write_text(text)
    with pytest.raises(SadclError, match=words):
        cut(project)


@pytest.mark.parametrize("name", ["../mini", "/tmp/mini", "", "coco2014"])
def test_a_name_that_leaves_the_sources_or_is_taken(project: Path, name: str) -> None:
    with pytest.raises(SadclError):
        cut(project, name)
    assert sorted(path.name for path in (project / "data/raw").iterdir()) == ["coco2014"]


def test_the_list_of_coco_mini_has_its_photos_split_as_the_readme_says() -> None:
    ids = coco_subset.read_ids(REPOSITORY / "docs/coco-mini.csv")
    parts = [coco_subset.split_of(image_id) for _, image_id in ids]
    assert (len(ids), parts.count("train"), parts.count("test")) == (3100, 2178, 922)
