"""Columns of a table with one row per photo, from a CSV or Parquet file.

``file`` names the photo; the usual other names work as well (``filename``, ``image_path``, ``ImageID``, ...), in any
letter case, and so does the only column whose cells end like photo files. Labels are in the columns that
``ingest.labels`` names, else in ``labels`` (or ``label``, ``tags``, ``class``, ``Finding Labels``, ...), separated by
``ingest.separator``, or in one column per class: 1, ``true``, ``yes`` or ``x`` is present; 0, ``false``, ``no`` or
nothing is absent; -1 is neither; ``1.0`` and ``1,0`` are 1, and words may be German, French, Spanish, Italian,
Portuguese or Dutch. ``split`` is optional. Every other column is a slice column. With a column per class,
``ingest.slices`` has to name the slice columns, because a column of 0 and 1 could be either; with a column of labels,
it names those that are none although they are called ``class``, ``tags`` and the like. Columns that the table computes
itself (``image_id``, ``width``, ``height`` and so on) are ignored.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from sadcl import params
from sadcl.data.sources import Source
from sadcl.data.sources.cells import NoFlagError, are_codes, flag
from sadcl.data.sources.columns import SAMPLE, find_columns
from sadcl.data.sources.rows import (
    COMPUTED_COLUMNS,
    Row,
    annotation_files,
    build_source,
    check_columns,
    label_names,
    photo_file,
    row_split,
    scalar_text,
    validation_as_test,
)
from sadcl.data.sources.text import is_valid_text, normal_name, short_repr
from sadcl.errors import SadclError

RESERVED_COLUMNS = ("file", "labels", "split")
"""Columns that are neither classes nor slices."""

_PLAIN = frozenset(("", "0", "1", None, 0, 1))
"""Cells of most class columns, which need no second look."""

Record = tuple[str, dict[str, Any]]
"""Position of a row (``FILE, line 3``), and its fields by column."""
Open = Callable[[Path], tuple[Sequence[str], Iterable[Record]]]
"""A function that opens a file and returns its columns and rows."""


def read_source(root: Path, settings: params.Ingest, open_rows: Open) -> Source:
    """Read the files that ``ingest.annotations`` names.

    Args:
        root: the source's folder.
        settings: annotation files, photo folders and slice columns.
        open_rows: opens a file of the format.

    Raises:
        SadclError: a file is missing or damaged, lacks a column, or a row is invalid.
    """
    rows: list[Row] = []
    classes: list[str] | None = None
    others: dict[str, set[str]] = {}
    for number, (split, path, folder) in enumerate(annotation_files(root, settings)):
        columns, records = table(path, open_rows, settings.slices, settings.label_columns)
        file_classes = class_columns(columns, settings.slices, path)
        if number and _normal(file_classes) != _normal(classes):
            problem = "The file's classes differ from those of train"
            raise SadclError(problem, where=path, fix="Use the same columns in all files")
        classes = file_classes
        for where, record in records:
            rows.append(_row(record, classes, folder, split, where, settings))
            for column in classes or ():
                if (cell := record[column]) not in _PLAIN:
                    others.setdefault(column, set()).add(str(cell))
        for column, cells in others.items():
            if are_codes(cells):
                raise _no_class(column, min(cells), path)
    return build_source(validation_as_test(rows, settings), root / settings.files("train")[0], classes)


def table(
    path: Path, open_rows: Open, slices: Sequence[str] = (), labels: Sequence[str] = ()
) -> tuple[list[str], Iterator[Record]]:
    """Open a file: its columns under their standard names, and its rows, both without ``COMPUTED_COLUMNS``.

    The field ``labels`` of a row is a tuple of the cells of all columns of labels.

    Args:
        path: the file.
        open_rows: opens it.
        slices: columns that are no labels, whatever their names.
        labels: the columns of labels; empty finds one by its name.
    """
    columns, records = open_rows(path)
    stream = iter(records)
    sample = list(islice(stream, SAMPLE))
    known = find_columns(columns, [record for _, record in sample], slices, labels)
    standard = {column: name for column, name in ((known.file, "file"), (known.split, "split")) if column}
    names = [*standard.values(), *(["labels"] if known.labels else [])]
    left_out = {*COMPUTED_COLUMNS, *known.labels, *names}
    used = [column for column in columns if column in standard or column not in left_out]

    def renamed() -> Iterator[Record]:
        for where, record in chain(sample, stream):
            fields = {standard.get(column, column): record.get(column) for column in used}
            if known.labels:
                fields["labels"] = tuple(record.get(column) for column in known.labels)
            yield where, fields

    return [*(standard.get(column, column) for column in used), *(["labels"] if known.labels else [])], renamed()


def class_columns(columns: Sequence[str], slices: Sequence[str], path: Path) -> list[str] | None:
    """Columns that are classes, or None if there is a column ``labels``.

    Raises:
        SadclError: there is no column ``file``, none with labels, or a column is repeated or reserved.
    """
    if "file" not in columns:
        names = ", ".join(map(short_repr, columns[:5])) or "nothing"
        problem = f"The header has no column 'file', but {names}"
        raise SadclError(problem, where=path, fix="Begin the file with the header file,labels")
    check_columns(columns, RESERVED_COLUMNS, path)
    if "labels" in columns and "labels" not in slices:
        return None
    classes = [name for name in columns if name not in RESERVED_COLUMNS and name not in slices]
    if not classes:
        fix = "Begin the file with the header file,labels, or add a column per class"
        raise SadclError("The header has no column 'labels'", where=path, fix=fix)
    return classes


def _row(
    record: dict[str, Any], classes: list[str] | None, folder: str, split: str, where: str, settings: params.Ingest
) -> Row:
    file, split = photo_file(folder, record["file"], where), row_split(record.get("split"), split, where)
    if classes is None:
        cells = [label_names(cell, where, settings.separator) for cell in record["labels"]]
        labels, ignored = frozenset[str]().union(*cells), frozenset[str]()
    else:
        flags = {column: _flag(record[column], column, where) for column in classes}
        labels = frozenset(column for column, state in flags.items() if state)
        unknown = frozenset(column for column, state in flags.items() if state is None)
        ignored = unknown if settings.minus_one == "unknown" else frozenset[str]()
    return Row(file, split, labels, ignored, _slices(record, {*RESERVED_COLUMNS, *(classes or ())}, where))


def _normal(classes: list[str] | None) -> list[str] | None:
    return None if classes is None else [normal_name(name) for name in classes]


def _flag(value: Any, column: str, where: str) -> bool | None:
    try:
        return flag(value if type(value) is str else "?" if (cell := scalar_text(value)) is None else cell)
    except NoFlagError:
        raise _no_class(column, value, where) from None


def _no_class(column: str, value: Any, where: object) -> SadclError:
    return SadclError(
        f"There is no column 'labels', so the column {short_repr(column)} is a class; its value is not 0 or 1 but "
        f"{short_repr(value)}",
        where=where,
        fix="List columns that are not classes in ingest.slices, or add a column labels",
    )


def _slices(record: dict[str, Any], excluded: set[str], where: str) -> dict[str, str]:
    cells = {name: scalar_text(value) for name, value in record.items() if name not in excluded}
    for name, cell in cells.items():
        if cell is None or (cell and not is_valid_text(cell)):
            problem = f"The value in the column {short_repr(name)} is neither text nor a number"
            raise SadclError(problem, where=where, fix="Correct the row, or remove the column")
    return {name: cell for name, cell in cells.items() if cell}
