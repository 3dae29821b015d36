"""A Parquet file, one row per photo; ``tabular`` describes the columns.

Labels are a list, or text as in a CSV file; indexes of a ClassLabel of Hugging Face become its names. Columns of bytes
or of nested values are ignored.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import types

from sadcl import params
from sadcl.data.sources import Source, tabular
from sadcl.data.sources.columns import LABELS, normal
from sadcl.errors import SadclError

MOST_ROWS = 2_000_000
"""Most rows of a file that is read: a small compressed file can expand to fill any memory."""
BATCH = 4096
"""Rows that are decompressed at a time."""

_DAMAGED = (pa.ArrowException, OSError, ValueError, TypeError, OverflowError, MemoryError)


def read_source(root: Path, settings: params.Ingest) -> Source:
    """Read the Parquet files that the settings name.

    Raises:
        SadclError: a file is missing or damaged, lacks a column, or a row is invalid.
    """
    return tabular.read_source(root, settings, open_rows)


def open_rows(path: Path) -> tuple[list[str], Iterator[tabular.Record]]:
    """Open a Parquet file: its usable columns, and its rows with file and row number.

    Raises:
        SadclError: the file is missing or damaged, or has more than ``MOST_ROWS`` rows.
    """
    with _translate_errors(path):
        file = pq.ParquetFile(path)
        schema = file.schema_arrow
    if file.metadata.num_rows > MOST_ROWS:
        problem = f"The file has {file.metadata.num_rows:,} rows; the limit is {MOST_ROWS:,}"
        raise SadclError(problem, where=path, fix="Split it by train, select and test")
    names = [
        field.name
        for field in schema
        if field.name in tabular.RESERVED_COLUMNS or normal(field.name) in LABELS or _is_scalar(field.type)
    ]
    return names, _records(file, names, _class_names(schema), path)


def _records(
    file: pq.ParquetFile, used: list[str], classes: dict[str, list[str]], path: Path
) -> Iterator[tabular.Record]:
    number = 0
    with file, _translate_errors(path):
        for batch in file.iter_batches(BATCH, columns=used):  # photos in a column are large
            batch.validate(full=True)
            read = zip(batch.schema.names, batch.columns, strict=True)
            columns = [(name, _values(column)) for name, column in read if name in used]  # "a" selects "a.b", too
            names = [name for name, _ in columns]
            for cells in zip(*(values for _, values in columns), strict=True):
                number += 1
                where = f"{path}, row {number}"
                fields = zip(names, cells, strict=True)
                yield where, {n: _named(cell, classes[n], where) if n in classes else cell for n, cell in fields}


def _class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """Class names of the ClassLabel columns that Hugging Face describes in a file's metadata."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"].items()
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return {}
    classes = {}
    for name, feature in features:
        while isinstance(feature, dict) and isinstance(feature.get("feature"), dict):  # of a list
            feature = feature["feature"]
        names = feature.get("names") if isinstance(feature, dict) else None
        if isinstance(names, list) and all(isinstance(item, str) for item in names):
            classes[name] = names
    return classes


def _named(value: Any, names: list[str], where: str) -> Any:
    """Name of the class of an index, or of each in a list; None for -1, which is no label."""
    if isinstance(value, list):
        return [_named(item, names, where) for item in value]
    if not isinstance(value, int | float) or value != value:
        return value
    if value != -1 and not (0 <= value < len(names) and value == int(value)):
        problem = f"{value} is not the index of one of the {len(names)} classes in the file's metadata"
        raise SadclError(problem, where=where, fix="Correct the label or the metadata")
    return None if value == -1 else names[int(value)]


def _values(column: pa.Array) -> list[Any]:
    """Values of a column: text, numbers and lists unchanged, times and decimals as text."""
    as_text = types.is_temporal(column.type) or types.is_decimal(column.type)
    return list((column.cast(pa.string()) if as_text else column).to_pylist())


def _is_scalar(kind: pa.DataType) -> bool:
    """Whether a column holds text or a number in each row."""
    inner = kind.value_type if types.is_dictionary(kind) else kind
    return not (types.is_nested(inner) or types.is_binary(inner) or types.is_large_binary(inner)) and not (
        types.is_fixed_size_binary(inner) or types.is_binary_view(inner) or types.is_interval(inner)
    )


@contextmanager
def _translate_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except SadclError:
        raise
    except FileNotFoundError:
        raise SadclError("The file is missing", where=path, fix="Check ingest.annotations") from None
    except _DAMAGED as error:
        problem = f"The file is not valid Parquet: {(str(error).splitlines() or [''])[0]}"
        raise SadclError(problem, where=path, fix="Write it again") from None
