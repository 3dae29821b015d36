"""Parquet files that other people wrote: columns, types and memory are checked before values are read."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

MOST_COLUMNS = 1_000
SMALL, MOST_GROWTH = 64_000_000, 100
"""Bytes in memory that any file may take, and how many times its own size a larger one may take; honest logits take
twice their size, and equal ones stand for gigabytes."""
VALUE_BYTES = 16
"""Memory of a value of a column, on average, while it is read."""
_TEXT = (pa.types.is_string, pa.types.is_large_string)
_NUMBER = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_null)


def memory_limit(path: str | Path) -> int:
    """Bytes of memory that the values of a file may take."""
    return max(SMALL, MOST_GROWTH * Path(path).stat().st_size)


def read(
    path: str | Path, columns: list[str] | None = None, may_be_list: Callable[[str], bool] = lambda name: True
) -> pa.Table:
    """Read columns of texts, numbers and lists of numbers.

    Args:
        path: the file.
        columns: names; None reads all.
        may_be_list: whether a column of this name may hold lists.

    Raises:
        ValueError: a column has another type, or the values would take more memory than ``memory_limit``.
        pyarrow.ArrowException, OSError: the file is missing or damaged.
    """
    limit, schema = memory_limit(path), pq.read_schema(path)
    # as dictionaries: one long text can stand for a million rows, and would take the memory of all of them
    texts = [name for name, kind in zip(schema.names, schema.types, strict=True) if _is(kind, _TEXT)]
    with pq.ParquetFile(path, read_dictionary=texts) as file:
        _check(file.metadata, schema, limit, may_be_list)
        # group by group: decoding takes several times the memory of its result
        groups = [file.read_row_group(number, columns) for number in range(file.num_row_groups)]
        table = pa.concat_tables(groups) if groups else file.read(columns)
    for position, name in enumerate(table.column_names):
        if name in texts:
            table = table.set_column(position, schema.field(name), _decoded(table.column(position), name, limit))
    return table


def _check(about: pq.FileMetaData, schema: pa.Schema, limit: int, may_be_list: Callable[[str], bool]) -> None:
    if about.num_columns > MOST_COLUMNS:
        raise ValueError(f"it has {about.num_columns:,} columns")
    for name, kind in zip(schema.names, schema.types, strict=True):
        is_list = pa.types.is_list(kind) and may_be_list(name)
        if not (_is(kind.value_type, _NUMBER) if is_list else _is(kind, (*_TEXT, *_NUMBER))):
            raise ValueError(f"column {name[:80]!r} is of type {str(kind)[:80]}")
    memory, counts = VALUE_BYTES * about.num_rows, [about.num_rows]
    for group in range(about.num_row_groups):
        for column in map(about.row_group(group).column, range(about.num_columns)):
            memory += VALUE_BYTES * column.num_values + column.total_uncompressed_size
            counts.append(column.num_values)
    # negative numbers are forged
    if min(counts) < 0 or memory > limit:
        raise ValueError(f"it would take {memory / 1e9:.1f} GB, and {limit / 1e9:.1f} GB is allowed for its size")


def _decoded(column: pa.ChunkedArray, name: str, limit: int) -> pa.ChunkedArray:
    """Texts of a column of dictionaries."""
    size = 0
    for chunk in column.chunks if pa.types.is_dictionary(column.type) else ():
        lengths = pc.binary_length(chunk.dictionary).cast(pa.int64())
        size += pc.sum(lengths.take(chunk.indices)).as_py() or 0
        if size > limit:
            raise ValueError(f"the texts of column {name[:80]!r} would take more than {limit / 1e9:.1f} GB")
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _is(kind: pa.DataType, predicates: tuple[Callable[[pa.DataType], bool], ...]) -> bool:
    return any(predicate(kind) for predicate in predicates)
