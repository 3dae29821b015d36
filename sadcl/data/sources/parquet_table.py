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
    columns = [
        i
        for i, field in enumerate(schema)
        if field.name in tabular.RESERVED_COLUMNS or normal(field.name) in LABELS or _is_scalar(field.type)
    ]
    return [schema.names[i] for i in columns], _records(file, columns, _class_names(schema), path)


def _records(
    file: pq.ParquetFile, indexes: list[int], classes: dict[str, list[str]], path: Path
) -> Iterator[tabular.Record]:
    number = 0
    with file, _translate_errors(path):
        for batch in file.iter_batches(BATCH):
            batch.validate(full=True)
            columns = [_values(batch.column(i)) for i in indexes]
            names = [batch.schema.names[i] for i in indexes]
            columns = [
                [_named(value, classes[name]) for value in values] if name in classes else values
                for name, values in zip(names, columns, strict=True)
            ]
            for cells in zip(*columns, strict=True):
                number += 1
                yield f"{path}, row {number}", dict(zip(names, cells, strict=True))


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


def _named(value: Any, names: list[str]) -> Any:
    if isinstance(value, list):
        return [_named(item, names) for item in value]
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else None if value == -1 else value


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
