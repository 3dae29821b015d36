"""JSON files with one record per photo: a list of them, as Create ML and scripts write, or labels by photo.

``[{"image": "1.jpg", "labels": ["cup"]}]`` has the keys of JSON lines. ``{"1.jpg": ["cup"]}`` has labels, or a record,
by the name of each photo; a ``path`` in such a record is the photo's.
"""

import json
import posixpath
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sadcl import files
from sadcl.data.sources.json_head import first_object, read_head
from sadcl.data.sources.photo_files import SUFFIXES
from sadcl.data.sources.text import short_repr
from sadcl.errors import SadclError

_FIX = "Give a list of records with file_name and labels, or an object with the labels of each photo"
NAMES = ("file_name", "file", "filename", "image")
"""Keys of the photo's name."""
LABELS = ("labels", "label")
OBJECTS = ("objects", "annotations")
TAGS = ("tags", "tag", "classes", "class")
"""Keys of the labels in a record without ``LABELS`` and ``OBJECTS``."""
_LABELS = frozenset((*LABELS, *OBJECTS, *TAGS))


def records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the position (``FILE, record 3``) and the fields of each record.

    Raises:
        SadclError: the file is missing, not JSON, has no records, or repeats a key of an object.
    """
    with files.json_errors(path, _FIX):
        value = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=lambda pairs: _unique(pairs, path))
    if isinstance(value, dict):
        value = [_record(name, inner) for name, inner in value.items()]
    if not isinstance(value, list):
        raise SadclError("The file is neither a list nor an object", where=path, fix=_FIX)
    for number, record in enumerate(value, start=1):
        if not isinstance(record, dict):
            raise SadclError("The record is not an object", where=f"{path}, record {number}", fix=_FIX)
        yield f"{path}, record {number}", record


def recognises(path: Path) -> bool:
    """Whether a JSON file has records that name a photo and labels, or labels by the name of a photo."""
    value = read_head(path)
    if isinstance(value, list):
        record = first_object(value)
        return not _LABELS.isdisjoint(record) and any(isinstance(record.get(key), str) for key in NAMES)
    name, inner = next(iter(value.items()), ("", None)) if isinstance(value, dict) else ("", None)
    is_labels = isinstance(inner, str | list) or (isinstance(inner, dict) and not _LABELS.isdisjoint(inner))
    record = _record(name, inner)
    file = record["file_name"] if is_labels else ""
    return isinstance(file, str) and posixpath.splitext(file)[1].lower() in SUFFIXES


def _record(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {"file_name": name, "labels": value}
    return {"file_name": value.get("path", name), **{key: inner for key, inner in value.items() if key != "path"}}


def _unique(pairs: list[tuple[str, Any]], path: Path) -> dict[str, Any]:
    item = dict(pairs)
    if len(item) < len(pairs):
        repeated = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise SadclError(
            f"The key {short_repr(repeated)} occurs twice in an object", where=path, fix="Keep one of them"
        )
    return item
