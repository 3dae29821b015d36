"""A sheet of rows and columns, one row a photo, whatever kind of file it comes from.

``file`` (or the only one of ``filename``, ``file_name``, ``image``) names the photo. Its labels stand in ``labels``,
separated by ``;``, or there is no such column, and each class has one: 1 or ``true`` is present, 0, ``false`` or
nothing absent, -1 neither. A column ``split`` is optional. Every other column is a slice column; beside one column a
class they have to be named in ``ingest.slices``, for a column of 0 and 1 could be either. What the table finds out
itself (``rows.BETTER``) is left out.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sadcl import params
from sadcl.data.sources import Source, inside
from sadcl.data.sources.rows import (
    BETTER,
    Row,
    annotation_files,
    check_columns,
    given_split,
    held_out,
    names,
    source,
)
from sadcl.data.sources.rows import words as text
from sadcl.data.sources.text import is_text, shown
from sadcl.errors import SadclError

OWN = ("file", "labels", "split")
"""Columns with a meaning of their own."""
FILE_NAMES = ("file", "filename", "file_name", "image")
"""What people call the first of them."""
FLAGS = {"1": True, "true": True, "0": False, "false": False, "": False, "-1": None}
"""What the column of a class may hold: present, absent, neither."""

Record = tuple[str, dict[str, Any]]
"""Where a row stands, and its fields by column."""
Open = Callable[[Path], tuple[Sequence[str], Iterable[Record]]]
"""Opens a file: its columns, and its rows."""


def read_source(root: Path, settings: params.Ingest, opened: Open) -> Source:
    """Read the files that the settings name.

    Raises:
        SadclError: a file is missing or damaged, its columns are not such, or a row is wrong.
    """
    rows: list[Row] = []
    classes: list[str] | None = None
    for number, (split, path, folder) in enumerate(annotation_files(root, settings)):
        columns, records = table(path, opened)
        found = class_columns(columns, settings.slices, path)
        if number and found != classes:
            raise SadclError("Its classes are not those of train", where=path, fix="Give all files the same columns")
        classes = found
        rows += [_row(record, found, folder, split, where) for where, record in records]
    return source(held_out(rows, settings), root / settings.annotations["train"], classes)


def table(path: Path, opened: Open) -> tuple[list[str], Iterator[Record]]:
    """A file's columns under our names and without those that the table knows better, and its rows."""
    given, records = opened(path)
    ours: dict[str, str] = {}
    for own, others in (("file", FILE_NAMES), ("labels", ("labels",)), ("split", ("split",))):
        meant = [name for name in given if name.lower() in others]
        if own not in given and len(meant) == 1:
            ours[meant[0]] = own
    kept = [name for name in given if name not in BETTER]
    renamed = ((where, {ours.get(name, name): record.get(name) for name in kept}) for where, record in records)
    return [ours.get(name, name) for name in kept], renamed


def class_columns(columns: Sequence[str], slices: Sequence[str], path: Path) -> list[str] | None:
    """The columns that are classes, or None where there is a column ``labels``.

    Raises:
        SadclError: the columns can't be those of photos.
    """
    if "file" not in columns:
        what = f"The header has no column 'file', but {', '.join(map(shown, columns[:5])) or 'nothing'}"
        raise SadclError(what, where=path, fix="Begin the file with file,labels")
    check_columns(columns, OWN, path)
    if "labels" in columns:
        return None
    found = [name for name in columns if name not in OWN and name not in slices]
    if not found:
        fix = "Begin the file with file,labels, or give each class a column"
        raise SadclError("The header has no column 'labels'", where=path, fix=fix)
    return found


def _row(record: dict[str, Any], classes: list[str] | None, folder: str, split: str, where: str) -> Row:
    name = record["file"]
    if not isinstance(name, str) or (name and not is_text(name)):
        raise SadclError(f"{shown(name)} names no file", where=where, fix="Give each photo its file")
    file, split = inside(folder, name, where), given_split(record.get("split"), split, where)
    if classes is None:
        labels, ignored = names(record["labels"], where), frozenset[str]()
    else:
        flags = {column: _flag(record[column], column, where) for column in classes}
        labels = frozenset(column for column, flag in flags.items() if flag)
        ignored = frozenset(column for column, flag in flags.items() if flag is None)
    return Row(file, split, labels, ignored, _slices(record, {*OWN, *(classes or ())}, where))


def _flag(value: Any, column: str, where: str) -> bool | None:
    cell = text(value)
    if cell is None or cell.lower() not in FLAGS:
        raise SadclError(
            f"There is no column 'labels', and the column {shown(column)}, a class then, holds not 0 or 1 but "
            f"{shown(value)}",
            where=where,
            fix="Name columns that are no class in ingest.slices, or give the labels a column",
        )
    return FLAGS[cell.lower()]


def _slices(record: dict[str, Any], without: set[str], where: str) -> dict[str, str]:
    found = {name: text(value) for name, value in record.items() if name not in without}
    for name, cell in found.items():
        if cell is None or (cell and not is_text(cell)):
            words = f"The column {shown(name)} holds neither a word nor a number"
            raise SadclError(words, where=where, fix="Mend the row, or leave the column out")
    return {name: cell for name, cell in found.items() if cell}
