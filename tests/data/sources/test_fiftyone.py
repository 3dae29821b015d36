"""FiftyOne: samples with classifications and detections, classes and labels by photo, and refused files."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.data.sources.reading import by_file, labels_of, put, read, recognised, refused


def sample(name: str, truth: Any, *tags: str, **more: Any) -> dict[str, Any]:
    return {"filepath": f"data/{name}", "tags": list(tags), "metadata": {"width": 4}, "ground_truth": truth, **more}


def one(label: str) -> dict[str, Any]:
    return {"_cls": "Classification", "label": label, "confidence": 0.5, "logits": [0.1]}


def many(kind: str, *labels: str) -> dict[str, Any]:
    return {"_cls": kind.title(), kind: [{"label": label, "bounding_box": [0, 0, 1, 1]} for label in labels]}


def test_samples(tmp_path: Path) -> None:
    samples = [
        sample("1.jpg", one("cup"), "batch", "train", predictions=one("pan")),
        sample("a/2.jpg", many("classifications", "cup", "plate"), "validation", uniqueness=0.5),
        sample("3.jpg", many("detections", "plate", "plate"), "train"),
        sample("4.jpg", None, "train"),
    ]
    put(tmp_path, {"e/samples.json": json.dumps({"samples": samples}), "e/data/1.jpg": ""})
    assert recognised(tmp_path / "e/samples.json") == "fiftyone"
    assert by_file(read(tmp_path, "fiftyone", "e/samples.json", images={"train": "e"})) == {
        "e/data/1.jpg": ("train", {"cup"}, set()),
        "e/data/a/2.jpg": ("test", {"cup", "plate"}, set()),
        "e/data/3.jpg": ("train", {"plate"}, set()),
        "e/data/4.jpg": ("train", set(), set()),
    }


def test_a_field_of_another_name(tmp_path: Path) -> None:
    samples = [
        {"filepath": "/home/me/x/1.jpg", "tags": [], "weather": one("rain")},
        {"filepath": "2.jpg", "weather": None},
    ]
    put(tmp_path, {"s.json": json.dumps({"samples": samples})})
    assert labels_of(read(tmp_path, "fiftyone", "s.json")) == {"home/me/x/1.jpg": {"rain"}, "2.jpg": set()}
    put(tmp_path, {"s.json": json.dumps({"samples": [{**samples[0], "mood": one("good")}]})})
    refused("no single field of labels, but 'weather', 'mood'", tmp_path, "fiftyone", "s.json")


TARGETS: dict[str, tuple[Any, Any]] = {
    "indexes": (["pan", "cup", "no"], {"1": 1, "a/2": [2, 1], "3": None}),
    "names": (["pan", "cup", "no"], {"1": "cup", "a/2": ["no", "cup"], "3": []}),
    "objects": (
        ["pan", "cup", "no"],
        {"1": {"label": "cup"}, "a/2": [{"label": 2}, {"label": "cup"}], "3": {"label": None}},
    ),
}


@pytest.mark.parametrize("name", TARGETS)
def test_classes_and_labels_by_photo(tmp_path: Path, name: str) -> None:
    classes, labels = TARGETS[name]
    put(
        tmp_path,
        {"labels.json": json.dumps({"classes": classes, "labels": labels}), "data/1.png": "", "data/a/2.JPG": ""},
    )
    assert recognised(tmp_path / "labels.json") == "fiftyone"
    source = read(tmp_path, "fiftyone", "labels.json")
    assert source.classes == ("pan", "cup", "no")
    assert labels_of(source) == {"data/1.png": {"cup"}, "data/a/2.JPG": {"cup", "no"}, "3": set()}


@pytest.mark.parametrize("targets", [(0, 1, 0), ("cup", ["pan"], {"label": "cup"}), ([0], [1], None)])
def test_photos_that_are_called_like_keys_of_labels(tmp_path: Path, targets: Sequence[Any]) -> None:
    labels = dict(zip(("mask", "points", "a"), targets, strict=True))
    put(tmp_path, {"labels.json": json.dumps({"classes": ["cup", "pan"], "labels": labels})})
    assert labels_of(read(tmp_path, "fiftyone", "labels.json")) == {
        "mask": {"cup"}, "points": {"pan"}, "a": {"cup"} if targets[2] is not None else set(),
    }  # fmt: skip


BAD: dict[str, tuple[Any, str]] = {
    "neither": ({"images": []}, "neither samples nor labels"),
    "an index beyond all": ({"classes": ["a"], "labels": {"1": 1}}, "1 is not the name or index of a class.*photo '1'"),
    "an index without classes": ({"classes": None, "labels": {"1": 0}}, "not the name or index"),
    "classes of no kind": ({"classes": [1], "labels": {"1": 0}}, "not a list of names"),
    "no file": ({"samples": [{"ground_truth": one("a")}]}, "names no file.*sample 1"),
    "no labels": ({"samples": [{"filepath": "1.jpg"}]}, "no single field of labels, but none"),
    "a photo outside": ({"samples": [{"filepath": "../../1.jpg", "x": one("a")}]}, "leaves the data root"),
    "a truth value": ({"classes": ["a", "b"], "labels": {"1": True}}, "True is not"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused(tmp_path: Path, name: str) -> None:
    put(tmp_path, {"a.json": json.dumps(BAD[name][0])})
    refused(BAD[name][1], tmp_path, "fiftyone", "a.json")


def test_a_damaged_export_is_still_recognised(tmp_path: Path) -> None:
    put(tmp_path, {"s.json": json.dumps({"samples": [sample("1.jpg", one("cup"))]})[:-9]})
    assert recognised(tmp_path / "s.json") == "fiftyone"
    refused("not JSON.*s.json", tmp_path, "fiftyone", "s.json")


def test_two_photos_of_a_labelled_name_are_refused(tmp_path: Path) -> None:
    put(tmp_path, {f"data/{name}": "" for name in ("1.jpg", "1.png", "2.jpg")})
    put(tmp_path, {"labels.json": json.dumps({"classes": ["cup"], "labels": {"2": 0}})})
    assert labels_of(read(tmp_path, "fiftyone", "labels.json")) == {"data/2.jpg": {"cup"}}
    put(tmp_path, {"labels.json": json.dumps({"classes": ["cup"], "labels": {"1": 0}})})
    refused("Several photos have this name: '1.jpg', '1.png'.*photo '1'", tmp_path, "fiftyone", "labels.json")
