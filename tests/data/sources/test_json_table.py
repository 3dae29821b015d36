"""JSON files with one record per photo: lists, Create ML, labels by photo; and what is no such file."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.data.sources.reading import labels_of, put, read, recognised, refused, splits_of

KINDS: dict[str, Any] = {
    "records": [{"file_name": "1.jpg", "labels": ["cup", "no"]}, {"file_name": "2.jpg", "labels": []}],
    "Create ML": [
        {"image": "1.jpg", "annotations": [{"label": "cup", "coordinates": {"x": 1}}, {"label": "no"}]},
        {"image": "2.jpg", "annotations": []},
    ],
    "names as annotations": [{"image": "1.jpg", "annotations": ["cup", "no"]}, {"image": "2.jpg", "annotations": []}],
    "labels by photo": {"1.jpg": ["cup", "no"], "2.jpg": None},
    "records by photo": {"1.jpg": {"labels": ["cup", "no"]}, "2.jpg": {"labels": ""}},
    "paths by photo": {"a": {"path": "1.jpg", "labels": ["cup", "no"]}, "b": {"path": "2.jpg", "labels": []}},
    "text by photo": {"1.jpg": "cup;no", "2.jpg": ""},
}


@pytest.mark.parametrize("name", KINDS)
def test_one_record_per_photo(tmp_path: Path, name: str) -> None:
    put(tmp_path, {"a.json": json.dumps(KINDS[name])})
    assert recognised(tmp_path / "a.json") == "json"
    assert labels_of(read(tmp_path, "json", "a.json")) == {"1.jpg": {"cup", "no"}, "2.jpg": set()}


def test_columns_of_records(tmp_path: Path) -> None:
    records = [
        {"file": "1.jpg", "label": "cup", "split": "train", "iso": 100},
        {"file": "2.jpg", "label": "cup", "split": "val"},
    ]
    put(tmp_path, {"a.json": json.dumps(records)})
    source = read(tmp_path, "json", "a.json")
    assert splits_of(source) == {"1.jpg": "train", "2.jpg": "test"}
    assert source.images[0].slices == {"iso": 100.0}


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "x", "version": 1}',
        '["1.jpg"]',
        "[]",
        "{}",
        "1",
        "",
        '[{"id": 1, "text": "x"}]',
        '{"1.jpg": 3}',
        "[" * 5000,
    ],
)
def test_other_json_is_not_recognised(tmp_path: Path, text: str) -> None:
    put(tmp_path, {"a.json": text})
    assert recognised(tmp_path / "a.json") == ""


BAD = {
    "no object": ('[{"image": "1.jpg", "label": "a"}, 3]', "not an object.*record 2"),
    "no labels": ('[{"image": "1.jpg"}]', "no labels.*record 1"),
    "text": ('"1.jpg"', "neither a list nor an object"),
    "a photo twice": ('{"1.jpg": ["a"], "2.jpg": ["a"], "1.jpg": ["b"]}', "'1.jpg' occurs twice"),
    "a key twice": ('[{"image": "1.jpg", "label": "a", "label": "b"}]', "'label' occurs twice"),
    "cut off": ('[{"image": "1.jpg", "label": "a"', "not JSON"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused(tmp_path: Path, name: str) -> None:
    put(tmp_path, {"a.json": BAD[name][0]})
    refused(BAD[name][1], tmp_path, "json", "a.json")
