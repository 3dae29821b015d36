"""People's own photos with a Parquet file; what its columns mean is told in ``sheet``.

``labels`` is a list, or a text as in a CSV file. Columns of bytes or of nested values are left out.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import types

from sadcl import params
from sadcl.data.sources import Source, tabular
from sadcl.errors import SadclError

MOST_ROWS = 2_000_000
"""A file whose footer claims more is not read: compressed, they may be few bytes and fill any memory."""
BATCH = 4096
"""Rows that are unpacked at a time."""

_DAMAGED = (pa.ArrowException, OSError, ValueError, TypeError, OverflowError, MemoryError)


def read_source(root: Path, settings: params.Ingest) -> Source:
    """Read the Parquet files that the settings name.

    Raises:
        SadclError: a file is missing or damaged, has no such columns, or a row is wrong.
    """
    return tabular.read_source(root, settings, open_rows)


def open_rows(path: Path) -> tuple[list[str], Iterator[tabular.Record]]:
    """The columns, and the rows by number."""
    with _plain_words(path):
        file = pq.ParquetFile(path)
        schema = file.schema_arrow
    if file.metadata.num_rows > MOST_ROWS:
        what = f"The file has {file.metadata.num_rows:,} rows, and at most {MOST_ROWS:,} are read"
        raise SadclError(what, where=path, fix="Split it by train, select and test")
    kept = [
        i
        for i, field in enumerate(schema)
        if field.name in tabular.OWN or field.name.lower() == "labels" or _is_plain(field.type)
    ]
    return [schema.names[i] for i in kept], _records(file, kept, path)


def _records(file: pq.ParquetFile, kept: list[int], path: Path) -> Iterator[tabular.Record]:
    number = 0
    with file, _plain_words(path):
        for batch in file.iter_batches(BATCH):
            batch.validate(full=True)
            columns = [_values(batch.column(i)) for i in kept]
            names = [batch.schema.names[i] for i in kept]
            for cells in zip(*columns, strict=True):
                number += 1
                yield f"{path}, row {number}", dict(zip(names, cells, strict=True))


def _values(column: pa.Array) -> list[Any]:
    """Words, numbers and lists as they are; times and decimals as words."""
    written = types.is_temporal(column.type) or types.is_decimal(column.type)
    return list((column.cast(pa.string()) if written else column).to_pylist())


def _is_plain(kind: pa.DataType) -> bool:
    """Whether a column holds a word or number in each row."""
    inner = kind.value_type if types.is_dictionary(kind) else kind
    return not (types.is_nested(inner) or types.is_binary(inner) or types.is_large_binary(inner)) and not (
        types.is_fixed_size_binary(inner) or types.is_binary_view(inner) or types.is_interval(inner)
    )


@contextmanager
def _plain_words(path: Path) -> Iterator[None]:
    try:
        yield
    except SadclError:
        raise
    except FileNotFoundError:
        raise SadclError("The file is missing", where=path, fix="Check ingest.annotations") from None
    except _DAMAGED as error:
        what = f"The file is no Parquet file that can be read: {(str(error).splitlines() or [''])[0]}"
        raise SadclError(what, where=path, fix="Write it anew") from None
