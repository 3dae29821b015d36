"""A CSV file in UTF-8, one row per photo; ``tabular`` describes the columns.

Commas separate the fields; if the header has no comma, semicolons or tabs do, as spreadsheets write them.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

from sadcl import params
from sadcl.data.sources import Source, tabular
from sadcl.errors import SadclError


def read_source(root: Path, settings: params.Ingest) -> Source:
    """Read the CSV files that the settings name.

    Raises:
        SadclError: a file is missing or not CSV, its header lacks a column, or a row is invalid.
    """
    return tabular.read_source(root, settings, open_rows)


def open_rows(path: Path) -> tuple[list[str], Iterator[tabular.Record]]:
    """Open a CSV file: its header, and its rows with file and line number; blank lines are skipped.

    Raises:
        SadclError: the file is missing or not CSV in UTF-8; while rows are read, a row has too few or many fields.
    """
    rows = _rows(path)
    _, header = next(rows, (1, []))
    columns = [name.strip() for name in header]
    return columns, _records(columns, rows, path)


def _records(columns: list[str], rows: Iterator[tuple[int, list[str]]], path: Path) -> Iterator[tabular.Record]:
    for line, row in rows:
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(columns):
            raise SadclError(
                f"The row has {len(row)} fields and the header {len(columns)}",
                where=f"{path}, line {line}",
                fix="Separate labels with ; and quote a field that contains the separator",
            )
        yield f"{path}, line {line}", {name: cell.strip() for name, cell in zip(columns, row, strict=True)}


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            header = file.readline(100_000)
            file.seek(0)
            rows = csv.reader(file, strict=True, delimiter=next((mark for mark in ",;\t" if mark in header), ","))
            for row in rows:
                yield rows.line_num, row
    except FileNotFoundError:
        raise SadclError("The file is missing", where=path, fix="Check ingest.annotations") from None
    except OSError as error:
        raise SadclError(f"The file can't be read: {error.strerror}", where=path, fix="Check the name") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise SadclError(f"The file is not CSV in UTF-8: {error}", where=path, fix="Save it as CSV in UTF-8") from None
