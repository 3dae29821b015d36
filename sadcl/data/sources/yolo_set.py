"""Descriptions of YOLO sets: ``data.yaml`` and ``obj.data``."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from sadcl.data.sources.safe_yaml import is_file, parse_yaml
from sadcl.data.sources.text import is_valid_text, normal_name, read_lines, read_text, short_repr
from sadcl.errors import SadclError

CLASS_LISTS = ("classes.txt", "obj.names", "_darknet.labels", "labels.txt", "predefined_classes.txt")
"""Usual names of lists of classes, one per line."""
_FIX = "Correct the file"
_NOTHING = ("", "~", "null", "Null", "NULL")
_HEAD = 10_000
_ENTRY = re.compile(r"""^["']?(train|names|nc)["']?[ \t]*:""", re.MULTILINE)
_SETTING = re.compile(r"^[ \t]*(train|names)[ \t]*=", re.MULTILINE)


@dataclass(frozen=True)
class Description:
    """A set's classes, and the places of its photos as they are written.

    Attributes:
        path: the file.
        classes: names, in order of index.
        start: folder that places are relative to, as written.
        places: folders or lists of photos, by ``train``, ``val`` and ``test``.
    """

    path: Path
    classes: list[str]
    start: str
    places: dict[str, list[str]]


def recognises(path: Path) -> bool:
    """Whether a file has the entries ``train`` and ``names`` or ``nc`` of a description, in YAML or as settings."""
    try:
        with open(path, encoding="utf-8-sig", errors="replace") as file:
            head = file.read(_HEAD)
    except OSError:
        return False
    pattern = _SETTING if path.suffix.lower() == ".data" else _ENTRY
    keys = set(pattern.findall(head))
    return "train" in keys and len(keys) > 1


def read_description(path: Path) -> Description:
    """Read a ``data.yaml`` or ``obj.data``.

    Raises:
        SadclError: the file is missing or damaged, or names no classes or training photos.
    """
    return _obj_data(path) if path.suffix.lower() == ".data" else _data_yaml(path)


def class_names(names: Sequence[str | None], path: Path) -> list[str]:
    """Class names, after a check that each is valid text and none occurs twice.

    Raises:
        SadclError: one is not valid, or there is none.
    """
    valid = [normal_name(name.strip()) for name in names if name is not None and is_valid_text(name)]
    if not names or len(valid) != len(names) or len(set(valid)) != len(valid):
        raise SadclError("Two classes share a name, or one has none", where=path, fix="Correct names")
    return valid


def listed_classes(path: Path, fix: str) -> list[str]:
    """Class names of a list with one per line; a blank line between two of them is a class without a name.

    Raises:
        SadclError: the list can't be read, or a name is missing, not valid or repeated.
    """
    return class_names(read_text(path, fix).rstrip().split("\n"), path)


def _data_yaml(path: Path) -> Description:
    value = _parsed(read_text(path, "Check ingest.annotations"), path)
    export = {key: item for key, item in value.items() if item not in _NOTHING} if isinstance(value, dict) else {}
    if not export.get("train"):
        raise SadclError("The file names no training photos", where=path, fix="Add the keys train and names")
    classes = class_names(_named(export["names"], path), path) if "names" in export else _listed(path)
    _check_count(export.get("nc"), classes, path)
    start = export.get("path", "")
    places = {key: _places(export[key], key, path) for key in ("train", "val", "test") if export.get(key)}
    return Description(path, classes, start if isinstance(start, str) and "\0" not in start else "", places)


def _parsed(content: str, path: Path) -> Any:
    """Value of a YAML file; where that fails, backslashes are those of a Windows path in quotes, not of escapes."""
    try:
        return parse_yaml(content, path, _FIX, as_text=True)
    except SadclError:
        if "\\" not in content:
            raise
        return parse_yaml(content.replace("\\", "/"), path, _FIX, as_text=True)


def _named(entries: Any, path: Path) -> list[str | None]:
    """Names in order of index, from a list or from an object with the indexes as keys."""
    if isinstance(entries, dict):
        if set(entries) != {str(i) for i in range(len(entries))}:
            raise SadclError("The class indexes do not run from 0 without a gap", where=path, fix=_FIX)
        entries = [entries[str(i)] for i in range(len(entries))]
    return [name if isinstance(name, str) else None for name in entries] if isinstance(entries, list) else []


def _listed(path: Path) -> list[str]:
    """Classes of the list next to a description without ``names``."""
    lists = [path.with_name(name) for name in CLASS_LISTS if is_file(path.with_name(name))]
    return listed_classes(lists[0], _FIX) if lists else class_names([], path)


def _check_count(count: Any, classes: list[str], path: Path) -> None:
    if count is not None and count != str(len(classes)):
        raise SadclError(f"nc is {str(count)[:50]}, but there are {len(classes)} names", where=path, fix=_FIX)


def _places(value: Any, key: str, path: Path) -> list[str]:
    values = value if isinstance(value, list) else [value]
    for place in values:
        if not isinstance(place, str) or not is_valid_text(place) or "\0" in place:
            raise SadclError(f"{key} is {short_repr(place)}, which is not a folder name", where=path, fix=_FIX)
    return values


def _obj_data(path: Path) -> Description:
    """Settings ``key = value``; the paths in them are relative to a folder that only the training has."""
    entries = {}
    for where, line in read_lines(path, "Check ingest.annotations"):
        key, equals, value = line.partition("=")
        if not equals:
            raise SadclError(f"The line has no '=': {short_repr(line)}", where=where, fix=_FIX)
        entries[key.strip().lower()] = value.strip()
    names = path.parent / PurePosixPath(entries.get("names", "").replace("\\", "/")).name
    if not entries.get("train") or not entries.get("names") or "\0" in names.name:
        raise SadclError("The file does not name train and names", where=path, fix=_FIX)
    if not is_file(names):
        raise SadclError("The file of class names is missing", where=names, fix="Put it next to obj.data")
    classes = listed_classes(names, _FIX)
    keys = {"train": "train", "valid": "val", "val": "val", "validation": "val", "test": "test"}
    places = {split: _places(entries[key], key, path) for key, split in keys.items() if entries.get(key)}
    return Description(path, classes, "", places)
