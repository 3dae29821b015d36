"""Names of classes in two Unicode forms, as macOS and other systems write them: one class in every format."""

import json
from pathlib import Path
from typing import Any

import pytest

from sadcl.data import sources
from tests.data.sources.reading import labels_of, put, read, refused

NAMES = ("caf\u00e9", "cafe\u0301")
"""One name, with a letter of its own and with a letter and an accent."""


def both(root: Path, kind: str, files: dict[str, str], annotations: Any, **changes: Any) -> sources.Source:
    photos = {f"{i}.jpg": "" for i in range(2)}
    return read(put(root, {**photos, **files}), kind, annotations, **changes)


def coco(name: str, number: int) -> str:
    return json.dumps({
        "images": [{"id": number, "file_name": f"{number}.jpg"}],
        "categories": [{"id": 1, "name": name}],
        "annotations": [{"image_id": number, "category_id": 1}],
    })  # fmt: skip


def shapes(name: str) -> str:
    return json.dumps({"shapes": [{"label": name}], "flags": {}, "imagePath": ""})


def voc(name: str) -> str:
    return f"<annotation><object><name>{name}</name></object></annotation>"


CVAT = (
    '<annotations><meta><labels><label><name>{0}</name></label></labels></meta><image name="0.jpg"><tag label="{0}"/>'
    '</image><image name="1.jpg"><tag label="{1}"/></image></annotations>'
).format(*NAMES)
DATUMARO = {
    "categories": {"label": {"labels": [{"name": name} for name in NAMES]}},
    "items": [{"id": str(i), "image": {"path": f"{i}.jpg"}, "annotations": [{"label_id": i}]} for i in range(2)],
}
FIFTYONE = {"samples": [{"filepath": f"{i}.jpg", "ground_truth": {"label": name}} for i, name in enumerate(NAMES)]}
LINES = "\n".join(json.dumps({"file_name": f"{i}.jpg", "label": name}) for i, name in enumerate(NAMES))
INFO = json.dumps({"features": {"label": {"names": [NAMES[1]]}}})
OPEN_IMAGES = "ImageID,LabelName,Confidence\n0.jpg,/m/0,1\n1.jpg,/m/1,1\n"
SETS: dict[str, tuple[str, dict[str, str], Any]] = {
    "labelme": ("labelme", {f"{i}.json": shapes(name) for i, name in enumerate(NAMES)}, "."),
    "voc_xml": ("voc_xml", {f"{i}.xml": voc(name) for i, name in enumerate(NAMES)}, "."),
    "cvat": ("cvat", {"a.xml": CVAT}, "a.xml"),
    "datumaro": ("datumaro", {"a.json": json.dumps(DATUMARO)}, "a.json"),
    "coco": ("coco", {f"{i}.json": coco(name, i) for i, name in enumerate(NAMES)}, ["0.json", "1.json"]),
    "fiftyone": ("fiftyone", {"a.json": json.dumps(FIFTYONE)}, "a.json"),
    "yolo": (
        "yolo",
        {
            f"{i}.{end}": text
            for i, name in enumerate(NAMES)
            for end, text in (("yaml", f"train: {i}.lst.txt\nnames: [{name}]"), ("lst.txt", f"{i}.jpg"), ("txt", "0"))
        },
        ["0.yaml", "1.yaml"],
    ),
    "class columns": ("csv", {f"{i}.csv": f"file,{name}\n{i}.jpg,1\n" for i, name in enumerate(NAMES)}, [
        "0.csv", "1.csv",
    ]),
    "dataset_info": ("jsonl", {"a.jsonl": LINES, "dataset_info.json": INFO}, "a.jsonl"),
    "Open Images": (
        "rows",
        {"a.csv": OPEN_IMAGES, "class-descriptions.csv": "".join(f"/m/{i},{n}\n" for i, n in enumerate(NAMES))},
        "a.csv",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", SETS)
def test_two_forms_of_a_name_are_one_class(tmp_path: Path, kind: str) -> None:
    source = both(tmp_path, *SETS[kind])
    assert source.classes == (NAMES[0],)
    assert labels_of(source) == {f"{i}.jpg": {NAMES[0]} for i in range(2)}
    assert not any(image.ignored for image in source.images)


def test_two_forms_of_a_name_in_one_list_are_refused(tmp_path: Path) -> None:
    put(tmp_path, {"0.jpg": "", "0.txt": "0", "classes.txt": "\n".join(NAMES), "a.csv": f"file,{','.join(NAMES)}\n"})
    refused("Two classes share a name", tmp_path, "yolo_classes", "classes.txt")
    refused("occurs twice in the header", tmp_path, "csv", "a.csv")
