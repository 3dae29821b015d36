"""A YOLO export: ``data.yaml`` with class names and folders of photos, beside them folders of label files.

A label file has a line an object, which begins with the index of its class; what follows, box or outline, is not read.
It stands where the photo does, with ``labels`` for the last ``images`` of the path; a photo without one shows nothing.
A ``val`` or ``test`` that is not there is left out. ``val`` is select where there is a ``test``, and test where there
is none; with ``train`` alone the source says nothing of splits.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from sadcl import params
from sadcl.data.sources import Source, inside
from sadcl.data.sources.photo_files import photos
from sadcl.data.sources.rows import Row, source, words
from sadcl.data.sources.safe_yaml import there, yaml
from sadcl.data.sources.text import is_text, lines, shown, text
from sadcl.errors import SadclError

_FIX = "Mend the file"


def read_source(root: Path, settings: params.Ingest) -> Source:
    """Read the ``data.yaml`` that ``ingest.annotations.train`` names, and the labels that it leads to.

    Raises:
        SadclError: a file or folder is missing or damaged, or a label is of an unknown class.
    """
    if "train" not in settings.annotations:
        raise SadclError("A YOLO source needs its data.yaml as train", where="ingest.annotations", fix="Name it")
    name = inside("", settings.annotations["train"], "ingest.annotations")
    about, path = _about(root / name), root / name
    classes, base = _classes(about, path), str(PurePosixPath(name).parent)
    rows = [
        Row(photo, split, frozenset(classes[i] for i in _indexes(root / _label_file(photo), len(classes))))
        for split, key in _splits(_present(about, root, base))
        for photo in _photos(root, base, about, key, path)
    ]
    return source(rows, path, classes)


def _about(path: Path) -> dict[str, Any]:
    value = yaml(text(path, "Check ingest.annotations"), path, _FIX)
    if not isinstance(value, dict) or not value.get("train"):
        raise SadclError("The file names no photos to train on", where=path, fix="Give it train and names")
    return value


def _classes(about: dict[str, Any], path: Path) -> list[str]:
    given = about.get("names")
    if isinstance(given, dict):
        indexes = {words(key) for key in given}
        if indexes != {str(i) for i in range(len(given))}:
            raise SadclError("The class indexes do not run from 0 without a gap", where=path, fix=_FIX)
        given = [name for _, name in sorted(given.items(), key=lambda item: int(words(item[0]) or 0))]
    names = [words(name) for name in given] if isinstance(given, list) else []
    known = [name for name in names if name and is_text(name)]
    if not names or len(known) != len(names) or len(set(known)) != len(known):
        raise SadclError("The file does not give each class a name of its own", where=path, fix="Mend names")
    if words(about.get("nc")) not in ("", str(len(known))):
        raise SadclError(f"nc is {shown(about['nc'])}, but there are {len(known)} names", where=path, fix=_FIX)
    return known


def _present(about: dict[str, Any], root: Path, base: str) -> dict[str, Any]:
    """The file without ``val`` or ``test`` where exporters name a folder that they did not make."""
    gone = [
        key
        for key in ("val", "test")
        if isinstance(about.get(key), str) and _find(root, base, about.get("path"), about[key]) is None
    ]
    return {key: value for key, value in about.items() if key not in gone}


def _splits(about: dict[str, Any]) -> list[tuple[str, str]]:
    """Our split and their key."""
    if about.get("test"):
        return [("train", "train"), *([("select", "val")] if about.get("val") else []), ("test", "test")]
    return [("train", "train"), ("test", "val")] if about.get("val") else [("", "train")]


def _photos(root: Path, base: str, about: dict[str, Any], key: str, path: Path) -> Iterator[str]:
    """Photos of a split: of a folder, of several, or of a text file with a name a line."""
    given = about[key] if isinstance(about[key], list) else [about[key]]
    for value in given:
        if not isinstance(value, str) or not is_text(value) or "\0" in value:
            raise SadclError(f"{key} is {shown(value)}, which names no folder", where=path, fix=_FIX)
        place = _place(root, base, about.get("path"), value, path)
        if place.endswith(".txt"):
            yield from _listed(root, place)
        else:
            yield from photos(root, place)


def _place(root: Path, base: str, start: Any, value: str, path: Path) -> str:
    found = _find(root, base, start, value)
    if found is None:
        raise SadclError(f"{shown(value)} is not there", where=path, fix="Put the photos below it")
    return found


def _find(root: Path, base: str, start: Any, value: str) -> str | None:
    """Where a folder or list lies: as written, or below data.yaml, for exports keep the place where they were made."""
    if not is_text(value) or "\0" in value:
        return ""  # for the reader to refuse
    tries = [start, ""] if isinstance(start, str) and is_text(start) and "\0" not in start else [""]
    for first in tries:
        joined = PurePosixPath(base, first, value)
        for name in (str(joined), str(PurePosixPath(base, value.replace("../", "")))):
            try:
                place = inside("", name, "")
            except SadclError:
                continue
            if there(root / place):
                return place
    return None


def _listed(root: Path, name: str) -> Iterator[str]:
    folder = str(PurePosixPath(name).parent)
    for where, line in lines(root / name, _FIX):
        yield inside(folder, line, where)


def _label_file(photo: str) -> PurePosixPath:
    parts = PurePosixPath(photo).with_suffix(".txt").parts
    at = max((i for i, part in enumerate(parts[:-1]) if part == "images"), default=None)
    return PurePosixPath(*parts) if at is None else PurePosixPath(*parts[:at], "labels", *parts[at + 1 :])


def _indexes(path: Path, classes: int) -> set[int]:
    found = set()
    for where, line in lines(path, _FIX) if there(path) else ():
        first = line.split()[0]
        if not (first.isascii() and first.isdigit() and len(first) < 9 and int(first) < classes):
            what = f"A line begins with {shown(first)}, which is no index of the {classes} classes"
            raise SadclError(what, where=where, fix=_FIX)
        found.add(int(first))
    return found
