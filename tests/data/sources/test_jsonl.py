"""JSON lines as Hugging Face's image folders and scripts write them: keys of labels, of photos and of boxes."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.data.sources.reading import labels_of, put, read, recognised, refused

KINDS: dict[str, dict[str, Any]] = {
    "tags": {"tags": ["cup", "no"]},
    "tags as text": {"tags": "cup;no"},
    "classes": {"classes": ["cup", "no"]},
    "boxes by key": {"objects": {"bbox": [], "category": ["cup", "no", "cup"]}},
    "a list of boxes": {"objects": [{"bbox": [], "label": "cup"}, {"bbox": [], "label": "no"}]},
    "labels and tags": {"labels": ["cup", "no"], "tags": ["blurred"]},
}


@pytest.mark.parametrize("name", KINDS)
def test_keys_of_labels(tmp_path: Path, name: str) -> None:
    put(tmp_path, {"metadata.jsonl": "\ufeff" + json.dumps({"file_name": "1.jpg", "text": "x", **KINDS[name]}) + "\n"})
    assert recognised(tmp_path / "metadata.jsonl") == "jsonl"
    source = read(tmp_path, "jsonl", "metadata.jsonl")
    assert labels_of(source) == {"1.jpg": {"cup", "no"}}
    assert source.images[0].slices == {"text": "x"}


@pytest.mark.parametrize("key", ["file_name", "file", "filename", "image"])
def test_keys_of_photos(tmp_path: Path, key: str) -> None:
    put(tmp_path, {"m.jsonl": json.dumps({key: "https://host/a/1.jpg", "label": "cup"})})
    assert labels_of(read(tmp_path, "jsonl", "m.jsonl")) == {"a/1.jpg": {"cup"}}


def test_class_names_of_a_readme_keep_their_text(tmp_path: Path) -> None:
    head = "dataset_info:\n  features:\n  - name: tags\n    sequence:\n      class_label:\n        names:\n"
    readme = f"---\n{head}          '0': no\n          '1': yes\n---\n"
    put(tmp_path, {"README.md": readme, "m.jsonl": json.dumps({"file_name": "1.jpg", "tags": [1]})})
    assert read(tmp_path, "jsonl", "m.jsonl").classes == ("no", "yes")


READMES = {
    "Windows-1252": "# Photos du caf\u00e9\n".encode("cp1252"),
    "a rule": b"---\n\nPhotos: cups, plates: all of them\n\n* by: me: \n",
    "a rule in Windows-1252": "---\nCaf\u00e9\n---\n".encode("cp1252"),
}


@pytest.mark.parametrize("kind", READMES)
def test_a_readme_for_people_is_no_description(tmp_path: Path, kind: str) -> None:
    put(tmp_path, {"m.jsonl": json.dumps({"file_name": "1.jpg", "label": "cup"})})
    (tmp_path / "README.md").write_bytes(READMES[kind])
    assert read(tmp_path, "jsonl", "m.jsonl").classes == ("cup",)
    (tmp_path / "README.md").write_bytes(b"---\ndataset_info: caf\xe9\n---\n")
    refused(r"not UTF-8.*README\.md", tmp_path, "jsonl", "m.jsonl")


def test_an_empty_list_of_boxes_is_no_label_and_two_keys_are_refused(tmp_path: Path) -> None:
    lines = [{"file_name": "1.jpg", "objects": []}, {"file_name": "2.jpg", "objects": [{"category": "cup"}]}]
    put(tmp_path, {"m.jsonl": "\n".join(map(json.dumps, lines))})
    assert labels_of(read(tmp_path, "jsonl", "m.jsonl")) == {"1.jpg": set(), "2.jpg": {"cup"}}
    put(tmp_path, {"m.jsonl": json.dumps({"file_name": "1.jpg", "tags": ["a"], "classes": ["b"]})})
    refused("two kinds of labels", tmp_path, "jsonl", "m.jsonl")


def test_lines_about_other_things_are_not_recognised(tmp_path: Path) -> None:
    put(
        tmp_path,
        {"a.jsonl": '{"prompt": "x"}\n', "b.jsonl": "", "c.jsonl": '["1.jpg"]', "d.jsonl": '{"image": "1.jpg", "la'},
    )
    assert [recognised(tmp_path / f"{name}.jsonl") for name in "abcd"] == ["", "", "", "jsonl"]
