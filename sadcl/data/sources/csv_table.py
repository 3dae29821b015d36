"""People's own photos with a CSV file in UTF-8; what its columns mean is told in ``sheet``.

Fields are separated by commas, or by what the header has instead of any: ``;`` or tabs, as spreadsheets write them.
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
        SadclError: a file is missing, has no such header, or a row is wrong.
    """
    return tabular.read_source(root, settings, open_rows)


def open_rows(path: Path) -> tuple[list[str], Iterator[tabular.Record]]:
    """The header, and the rows with the lines on which they end; empty lines are left out."""
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
                fix="Separate labels by ; and put quotes around a field that holds what separates fields",
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
