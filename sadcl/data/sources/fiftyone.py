"""FiftyOne's exports as JSON: ``samples.json``, or ``labels.json`` of sets for classification or detection.

``samples.json`` lists samples with their file and fields. The labels are those of the field ``ground_truth``, else of
the only field with labels; boxes, outlines and classifications give them alike. A sample whose field is empty has no
labels. The first tag that names a split is the split.

``labels.json`` has ``classes`` and, by the name of each photo without suffix, an index or name of a class, several, or
objects with a ``label``; null is no label. The photos are in ``data`` next to the file, or below ``ingest.images``.
"""

import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sadcl import files, params
from sadcl.data.listed_photos import has_folder
from sadcl.data.sources import Source
from sadcl.data.sources.exports import Part, combined, photo_folders, photo_path, split_named
from sadcl.data.sources.json_head import first_object, read_head
from sadcl.data.sources.photo_files import list_photos
from sadcl.data.sources.rows import Row, annotation_files
from sadcl.data.sources.text import is_valid_text, short_repr
from sadcl.errors import SadclError

FIELD = "ground_truth"
_LISTS = ("classifications", "detections", "polylines", "keypoints")
_LONG = ("mask", "points", "bounding_box", "logits")
_FIX = "Export it again from FiftyOne"


def read_source(root: Path, settings: params.Ingest) -> Source:
    """Read the exports that the settings name.

    Raises:
        SadclError: a file is missing or damaged, or has several fields of labels.
    """
    parts: list[Part] = []
    for split, path, folder in annotation_files(root, settings):
        export = files.read_json(path, _FIX, object_hook=_without_unused_keys)
        folders = photo_folders(root, path, folder, ("data",))
        if isinstance(export, dict) and isinstance(export.get("samples"), list):
            parts.append(((), list(_samples(root, path, export["samples"], split, folders))))
        elif isinstance(export, dict) and isinstance(export.get("labels"), dict):
            names = _class_list(export.get("classes"), path)
            parts.append((names or (), list(_targets(root, path, export["labels"], names, split, folders))))
        else:
            raise SadclError("The file has neither samples nor labels of photos", where=path, fix=_FIX)
    return combined(parts, settings, root / settings.files("train")[0])


def recognises(path: Path) -> bool:
    """Whether a JSON file has samples with their files, or classes and labels by photo."""
    value = read_head(path)
    if not isinstance(value, dict):
        return False
    sample = first_object(value.get("samples"))
    return "filepath" in sample or (isinstance(value.get("labels"), dict) and "classes" in value)


def _without_unused_keys(item: dict[str, Any]) -> dict[str, Any]:
    """An object without outlines, masks and logits, which are long; elsewhere, their keys may be names of photos."""
    if "label" not in item and "_cls" not in item:
        return item
    return {key: value for key, value in item.items() if key not in _LONG or isinstance(value, int | dict)}


def _samples(root: Path, path: Path, samples: list[Any], split: str, folders: list[str]) -> Iterator[Row]:
    field = _field(samples, path)
    for number, sample in enumerate(samples, start=1):
        where = f"{path}, sample {number}"
        if not isinstance(sample, dict) or not isinstance(sample.get("filepath"), str):
            raise SadclError("The sample names no file", where=where, fix=_FIX)
        tags = sample.get("tags")
        named = (split_named(tag, "") for tag in (tags if isinstance(tags, list) else []))
        file = photo_path(root, sample["filepath"], folders, where)
        yield Row(file, split or next(filter(None, named), ""), _names(sample.get(field), None, where))


def _field(samples: list[Any], path: Path) -> str:
    """The field with labels: ``ground_truth``, or the only one.

    Raises:
        SadclError: there is none, or several.
    """
    fields = dict.fromkeys(
        key
        for sample in samples
        if isinstance(sample, dict)
        for key, value in sample.items()
        if isinstance(value, dict) and ("label" in value or any(isinstance(value.get(name), list) for name in _LISTS))
    )
    if FIELD in fields or len(fields) == 1:
        return FIELD if FIELD in fields else next(iter(fields))
    names = ", ".join(map(short_repr, list(fields)[:5])) or "none"
    fix = f"Export it with the one field of the labels, or name that field {FIELD}"
    raise SadclError(f"The samples have no single field of labels, but {names}", where=path, fix=fix)


def _class_list(classes: Any, path: Path) -> list[str] | None:
    if classes is None:
        return None
    if not isinstance(classes, list) or not all(isinstance(name, str) and is_valid_text(name) for name in classes):
        raise SadclError("The classes are not a list of names", where=path, fix=_FIX)
    return [name.strip() for name in classes]


def _targets(
    root: Path, path: Path, targets: dict[str, Any], classes: list[str] | None, split: str, folders: list[str]
) -> Iterator[Row]:
    """Rows of photos by their names without suffix."""
    suffixed = _suffixed(root, [folder for folder in folders if posixpath.basename(folder) == "data"] + folders)
    for name, target in targets.items():
        where = f"{path}, photo {short_repr(name)}"
        names = suffixed.get(name.replace("\\", "/"), [name])
        if len(names) > 1:
            problem = f"Several photos have this name: {', '.join(map(short_repr, names[:3]))}"
            raise SadclError(problem, where=where, fix="Keep the one that was labelled")
        file = photo_path(root, names[0], folders, where)
        yield Row(file, split, _names(target, classes, where))


def _suffixed(root: Path, folders: list[str]) -> dict[str, list[str]]:
    """Paths below the first folder that exists, by the path without suffix."""
    paths: dict[str, list[str]] = {}
    for folder in folders:
        if has_folder(root, folder):
            for photo in list_photos(root, folder):
                name = photo if folder == "." else photo[len(folder) :].lstrip("/")
                paths.setdefault(posixpath.splitext(name)[0], []).append(name)
            break
    return paths


def _names(value: Any, classes: list[str] | None, where: str) -> frozenset[str]:
    """Names of the classes that a target or a field holds, nested as the export has them."""
    waiting, names = [value], set()
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            inner = next((item[key] for key in ("label", *_LISTS) if item.get(key) is not None), None)
            waiting.append(inner)
        elif isinstance(item, list):
            waiting += item
        elif item is not None:
            names.add(_name(item, classes, where))
    return frozenset(names)


def _name(item: Any, classes: list[str] | None, where: str) -> str:
    if classes is not None and type(item) is int and 0 <= item < len(classes):
        return classes[item]
    if isinstance(item, str) and is_valid_text(item):
        return item.strip()
    raise SadclError(f"{short_repr(item)} is not the name or index of a class", where=where, fix=_FIX)
