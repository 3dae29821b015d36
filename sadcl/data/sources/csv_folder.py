"""People's own photos: a folder, and a CSV file with the columns ``file`` and ``labels``.

Labels are separated by ``;``. A column ``split`` is optional; every other column is a slice column.
The class list is the sorted set of all labels. One file may serve all splits.
"""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

from sadcl import params
from sadcl.data.sources import Image, Source, inside
from sadcl.data.table import SCHEMA, SPLITS
from sadcl.errors import SadclError

_FIX = "Mend the CSV file"

Row = dict[str, str]


def read(root: Path, settings: params.Ingest) -> Source:
    """Read the CSV files that the settings name.

    Raises:
        SadclError: a file is missing, has no such header, or a row is wrong.
    """
    if "train" not in settings.annotations:
        raise SadclError("A CSV source needs a file for train", where="ingest.annotations", fix="Name it")
    found: list[tuple[Row, str, str, str]] = []
    for split, name in settings.annotations.items():
        path = root / inside("", name, "ingest.annotations")
        folder = settings.images.get(split, settings.images.get("train", ""))
        alone = len(settings.annotations) == 1
        for line, row in _rows(path):
            where = f"{path}, line {line}"
            found.append((row, inside(folder, row["file"], where), _split(row, "" if alone else split, where), where))
    names = sorted({label for row, *_ in found for label in _labels(row)})
    if found and not names:
        raise SadclError("No image has a label", where=root / settings.annotations["train"], fix=_FIX)
    index = {name: i for i, name in enumerate(names)}
    numeric = _numeric([row for row, *_ in found])
    images = [
        Image(file, file, split, tuple(sorted({index[label] for label in _labels(row)})), (), _slices(row, numeric))
        for row, file, split, _ in found
    ]
    return Source(tuple(names), images)


def _rows(path: Path) -> Iterator[tuple[int, Row]]:
    """Rows with the lines on which they end; empty lines are left out."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            header = [name.strip() for name in next(rows, [])]
            _check_header(header, path)
            for row in rows:
                if not any(cell.strip() for cell in row):
                    continue
                if len(row) != len(header):
                    raise SadclError(
                        f"The row has {len(row)} fields and the header {len(header)}",
                        where=f"{path}, line {rows.line_num}",
                        fix="Separate labels by ; and put quotes around a field that holds a comma",
                    )
                yield rows.line_num, {name: cell.strip() for name, cell in zip(header, row, strict=True)}
    except FileNotFoundError:
        raise SadclError("The file is missing", where=path, fix="Check ingest.annotations") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise SadclError(f"The file is not CSV in UTF-8: {error}", where=path, fix=_FIX) from None


def _check_header(header: list[str], path: Path) -> None:
    for name in ("file", "labels"):
        if name not in header:
            raise SadclError(f"The header has no column {name!r}", where=path, fix="Begin the file with file,labels")
    repeated = {name for name in header if header.count(name) > 1}
    taken = set(header) & (set(SCHEMA) - {"file", "labels", "split"})
    for names, words in ((repeated, "stands twice in the header"), (taken, "has a name that the table itself uses")):
        if names:
            raise SadclError(f"The column {sorted(names)[0]!r} {words}", where=path, fix="Rename it")


def _split(row: Row, otherwise: str, where: str) -> str:
    split = row.get("split") or otherwise
    if split and split not in SPLITS:
        raise SadclError(f"There is no split {split!r}", where=where, fix=f"Use {', '.join(SPLITS)} or nothing")
    return split


def _labels(row: Row) -> list[str]:
    return [label.strip() for label in row["labels"].split(";") if label.strip()]


def _numeric(rows: Iterable[Row]) -> set[str]:
    """Slice columns in which every filled field is a number."""
    numbers: dict[str, bool] = {}
    for row in rows:
        for name, cell in row.items():
            if name not in SCHEMA and cell:
                numbers[name] = numbers.get(name, True) and _is_number(cell)
    return {name for name, every in numbers.items() if every}


def _is_number(cell: str) -> bool:
    try:
        return float(cell) == float(cell)
    except ValueError:
        return False


def _slices(row: Row, numeric: set[str]) -> dict[str, str | float]:
    others = ((name, cell) for name, cell in row.items() if name not in SCHEMA and cell)
    return {name: float(cell) if name in numeric else cell for name, cell in others}
