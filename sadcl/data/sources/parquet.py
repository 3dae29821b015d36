"""People's own photos with a Parquet file; what its columns mean is told in ``sheet``.

``labels`` is a list, or a text as in a CSV file. Columns of bytes or of nested values are left out.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import types

from sadcl import params
from sadcl.data.sources import Source, sheet
from sadcl.errors import SadclError

MOST_CELLS = 20_000_000
"""A file whose footer claims more fields is not opened: compressed, they may be few bytes and fill any memory."""

_DAMAGED = (pa.ArrowException, OSError, ValueError, TypeError, OverflowError, MemoryError)


def read(root: Path, settings: params.Ingest) -> Source:
    """Read the Parquet files that the settings name.

    Raises:
        SadclError: a file is missing or damaged, has no such columns, or a row is wrong.
    """
    return sheet.read(root, settings, opened)


def opened(path: Path) -> tuple[list[str], Iterator[sheet.Record]]:
    """The columns, and the rows by number."""
    try:
        with pq.ParquetFile(path) as file:
            _check_size(file, path)
            table = file.read()
            table.validate(full=True)
        kept = {
            name: values
            for name, column in zip(table.column_names, table.columns, strict=True)
            if (values := _values(column, plain=name in sheet.OWN)) is not None
        }
    except FileNotFoundError:
        raise SadclError("The file is missing", where=path, fix="Check ingest.annotations") from None
    except _DAMAGED as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise SadclError(
            f"The file is no Parquet file that can be read: {reason}", where=path, fix="Write it anew"
        ) from None
    return table.column_names if len(kept) == len(set(table.column_names)) else list(kept), _records(kept, path)


def _records(columns: dict[str, list[Any]], path: Path) -> Iterator[sheet.Record]:
    for number, cells in enumerate(zip(*columns.values(), strict=True), start=1):
        yield f"{path}, row {number}", dict(zip(columns, cells, strict=True))


def _check_size(file: pq.ParquetFile, path: Path) -> None:
    cells = file.metadata.num_rows * file.metadata.num_columns
    if cells > MOST_CELLS:
        fix = "Leave out columns, or split it by train, select and test"
        raise SadclError(f"The file has {cells:,} fields, and at most {MOST_CELLS:,} are read", where=path, fix=fix)


def _values(column: pa.ChunkedArray, *, plain: bool) -> list[Any] | None:
    """A column as words, numbers and lists of them; None for one that is neither."""
    kind = column.type.value_type if types.is_dictionary(column.type) else column.type
    if (
        plain
        or types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_integer(kind)
        or types.is_floating(kind)
    ):
        return list(column.to_pylist())
    if types.is_boolean(kind) or types.is_null(kind):
        return list(column.to_pylist())
    if types.is_temporal(kind) or types.is_decimal(kind):
        return list(column.cast(pa.string()).to_pylist())
    return None
