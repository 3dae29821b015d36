"""VGG Image Annotator: the attribute with the label, checkboxes, projects and CSV, and refused files."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from tests.data.sources.reading import labels_of, put, read, recognised, refused


def photo(name: str, *regions: dict[str, Any], **of_photo: Any) -> dict[str, Any]:
    shapes = [{"shape_attributes": {"name": "rect", "x": 1}, "region_attributes": region} for region in regions]
    about = {"caption": "x", "public_domain": "no", "image_url": "", **of_photo}
    return {"filename": name, "size": 12, "regions": shapes, "file_attributes": about}


def as_json(photos: list[dict[str, Any]]) -> str:
    return json.dumps({f"{item['filename']}12": item for item in photos})


def as_project(photos: list[dict[str, Any]]) -> str:
    return json.dumps(
        {"_via_settings": {"ui": {}}, "_via_img_metadata": json.loads(as_json(photos)), "_via_attributes": {}}
    )


def as_csv(photos: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    shape = ("region_count", "region_id", "region_shape_attributes", "region_attributes")
    writer.writerow(["filename", "file_size", "file_attributes", *shape])
    for item in photos:
        regions = item["regions"] or [{"shape_attributes": {}, "region_attributes": {}}]
        for number, region in enumerate(regions):
            cells = [
                json.dumps(part)
                for part in (item["file_attributes"], region["shape_attributes"], region["region_attributes"])
            ]
            writer.writerow([item["filename"], 12, cells[0], len(item["regions"]), number, *cells[1:]])
    return out.getvalue()


FORMS = {"a.json": as_json, "project.json": as_project, "a.csv": as_csv}


@pytest.mark.parametrize("name", FORMS)
def test_labels_of_regions(tmp_path: Path, name: str) -> None:
    photos = [
        photo("1.jpg", {"class": "cup", "note": "chipped"}, {"class": "a, b"}),
        photo("b/2.jpg", {"class": "cup"}, {"class": ""}),
        photo("3.jpg"),
    ]
    put(tmp_path, {name: FORMS[name](photos)})
    assert recognised(tmp_path / name) == "via"
    source = read(tmp_path, "via", name)
    assert labels_of(source) == {"1.jpg": {"cup", "a, b"}, "b/2.jpg": {"cup"}, "3.jpg": set()}
    assert source.notes == ["Attributes that are no labels: 'note'"]


@pytest.mark.parametrize("name", FORMS)
def test_checkboxes_of_photos(tmp_path: Path, name: str) -> None:
    photos = [photo("1.jpg", dish={"cup": True, "pan": False}), photo("2.jpg", dish={"plate": "true", "cup": "false"})]
    put(tmp_path, {name: FORMS[name](photos)})
    source = read(tmp_path, "via", name)
    assert source.classes == ("cup", "pan", "plate")
    assert labels_of(source) == {"1.jpg": {"cup"}, "2.jpg": {"plate"}}


BAD: dict[str, tuple[str, str]] = {
    "two attributes": (as_json([photo("1.jpg", {"colour": "red", "shape": "round"})]), "which attribute is the label"),
    "none": (as_json([photo("1.jpg")]), "which attribute is the label: none"),
    "no filename": ('{"a": {"regions": []}}', "no filename.*photo 1"),
    "no object": ("[]", "no object with photos"),
    "regions of no kind": ('{"a": {"filename": "1.jpg", "regions": [1]}}', "not a list of objects"),
    "attributes of no kind": ('{"a": {"filename": "1.jpg", "file_attributes": [1]}}', "not an object"),
    "a checkbox of no kind": (as_json([photo("1.jpg", dish={"cup": "perhaps"})]), "checkbox has the value 'perhaps'"),
    "cut off": (as_json([photo("1.jpg", {"class": "cup"})])[:-5], "not JSON"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused(tmp_path: Path, name: str) -> None:
    put(tmp_path, {"a.json": BAD[name][0]})
    refused(BAD[name][1], tmp_path, "via", "a.json")


def test_a_damaged_export_is_still_recognised(tmp_path: Path) -> None:
    put(tmp_path, {"a.json": BAD["cut off"][0]})
    assert recognised(tmp_path / "a.json") == "via"
