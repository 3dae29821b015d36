"""A YOLO export: ``data.yaml`` with class names and photo folders, and folders of label files.

A label file has one line per object, which begins with the index of its class; the box or outline after it is ignored.
The path of a label file is that of its photo, with ``labels`` in place of the last ``images``. A photo without a label
file has no labels. A missing ``val`` or ``test`` folder is ignored. ``val`` becomes select if there is a ``test``, else
test; with ``train`` alone the source assigns no splits.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from sadcl import params
from sadcl.data.sources import Source, safe_join
from sadcl.data.sources.photo_files import list_photos
from sadcl.data.sources.rows import Row, build_source, scalar_text
from sadcl.data.sources.safe_yaml import exists, parse_yaml
from sadcl.data.sources.text import is_valid_text, read_lines, read_text, short_repr
from sadcl.errors import SadclError

_FIX = "Correct the file"


def read_source(root: Path, settings: params.Ingest) -> Source:
    """Read the ``data.yaml`` that ``ingest.annotations.train`` names, and the label files of its photos.

    Raises:
        SadclError: a file or folder is missing or damaged, or a label has an unknown class.
    """
    if "train" not in settings.annotations:
        raise SadclError("A YOLO source needs its data.yaml as train", where="ingest.annotations", fix="Name it there")
    name = safe_join("", settings.file("train"), "ingest.annotations")
    path = root / name
    export = _read_export(path)
    classes, base = _classes(export, path), str(PurePosixPath(name).parent)
    rows = [
        Row(photo, split, frozenset(classes[i] for i in _indexes(root / _label_file(photo), len(classes))))
        for split, key in _splits(_without_missing(export, root, base))
        for photo in _photos(root, base, export, key, path)
    ]
    return build_source(rows, path, classes)


def _read_export(path: Path) -> dict[str, Any]:
    value = parse_yaml(read_text(path, "Check ingest.annotations"), path, _FIX)
    if not isinstance(value, dict) or not value.get("train"):
        raise SadclError("The file names no training photos", where=path, fix="Add the keys train and names")
    return value


def _classes(export: dict[str, Any], path: Path) -> list[str]:
    """Class names in order of index; ``names`` is a list, or an object with the indexes as keys."""
    entries = export.get("names")
    if isinstance(entries, dict):
        if {scalar_text(key) for key in entries} != {str(i) for i in range(len(entries))}:
            raise SadclError("The class indexes do not run from 0 without a gap", where=path, fix=_FIX)
        entries = [name for _, name in sorted(entries.items(), key=lambda item: int(scalar_text(item[0]) or 0))]
    names = [scalar_text(name) for name in entries] if isinstance(entries, list) else []
    valid = [name for name in names if name and is_valid_text(name)]
    if not names or len(valid) != len(names) or len(set(valid)) != len(valid):
        raise SadclError("Two classes share a name, or one has none", where=path, fix="Correct names")
    if scalar_text(export.get("nc")) not in ("", str(len(valid))):
        raise SadclError(f"nc is {short_repr(export['nc'])}, but there are {len(valid)} names", where=path, fix=_FIX)
    return valid


def _without_missing(export: dict[str, Any], root: Path, base: str) -> dict[str, Any]:
    """The export without ``val`` and ``test`` if their folders are missing; some exporters name them anyway."""
    missing = [
        key
        for key in ("val", "test")
        if isinstance(export.get(key), str) and _find(root, base, export.get("path"), export[key]) is None
    ]
    return {key: value for key, value in export.items() if key not in missing}


def _splits(export: dict[str, Any]) -> list[tuple[str, str]]:
    """Each split, and the key of the export that names its photos."""
    if export.get("test"):
        return [("train", "train"), *([("select", "val")] if export.get("val") else []), ("test", "test")]
    return [("train", "train"), ("test", "val")] if export.get("val") else [("", "train")]


def _photos(root: Path, base: str, export: dict[str, Any], key: str, path: Path) -> Iterator[str]:
    """Photos of a split: those of a folder, of several folders, or of a text file with one name per line."""
    values = export[key] if isinstance(export[key], list) else [export[key]]
    for value in values:
        if not isinstance(value, str) or not is_valid_text(value) or "\0" in value:
            raise SadclError(f"{key} is {short_repr(value)}, which is not a folder name", where=path, fix=_FIX)
        target = _find(root, base, export.get("path"), value)
        if target is None:
            raise SadclError(f"The folder {short_repr(value)} does not exist", where=path, fix="Put the photos there")
        if target.endswith(".txt"):
            yield from _listed(root, target)
        else:
            yield from list_photos(root, target)


def _find(root: Path, base: str, start: Any, value: str) -> str | None:
    """Path of a folder or list, as written or below ``data.yaml``; None if neither exists.

    Exports keep the paths of the machine that wrote them, such as ``../images/train``.
    """
    if not is_valid_text(value) or "\0" in value:
        return ""  # _photos reports it
    starts = [start, ""] if isinstance(start, str) and is_valid_text(start) and "\0" not in start else [""]
    for first in starts:
        joined = PurePosixPath(base, first, value)
        for name in (str(joined), str(PurePosixPath(base, value.replace("../", "")))):
            try:
                candidate = safe_join("", name, "")
            except SadclError:
                continue
            if exists(root / candidate):
                return candidate
    return None


def _listed(root: Path, name: str) -> Iterator[str]:
    folder = str(PurePosixPath(name).parent)
    for where, line in read_lines(root / name, _FIX):
        yield safe_join(folder, line, where)


def _label_file(photo: str) -> PurePosixPath:
    parts = PurePosixPath(photo).with_suffix(".txt").parts
    index = max((i for i, part in enumerate(parts[:-1]) if part == "images"), default=None)
    return PurePosixPath(*parts) if index is None else PurePosixPath(*parts[:index], "labels", *parts[index + 1 :])


def _indexes(path: Path, classes: int) -> set[int]:
    indexes = set()
    for where, line in read_lines(path, _FIX) if exists(path) else ():
        first = line.split()[0]
        if not (first.isascii() and first.isdigit() and len(first) < 9 and int(first) < classes):
            problem = f"A line begins with {short_repr(first)}, which is not an index of the {classes} classes"
            raise SadclError(problem, where=where, fix=_FIX)
        indexes.add(int(first))
    return indexes
