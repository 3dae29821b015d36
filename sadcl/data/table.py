"""Annotation table: one row per image, with class list, source and protocol of the data set.

The file is Parquet, with classes, source and protocol as JSON in the schema's metadata. Equal tables give equal bytes.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sadcl import files
from sadcl.errors import SadclError, first_line

if TYPE_CHECKING:
    import pandas as pd

SPLITS = ("train", "select", "test")

SCHEMA: dict[str, pa.DataType] = {
    "image_id": pa.string(),
    "file": pa.string(),
    "split": pa.string(),
    "labels": pa.list_(pa.int32()),
    "ignored": pa.list_(pa.int32()),
    "width": pa.int64(),
    "height": pa.int64(),
    "bytes": pa.int64(),
    "sha256": pa.string(),
    "brightness": pa.float64(),
    "sharpness": pa.float64(),
    "phash": pa.uint64(),
    "problem": pa.string(),
}
"""Columns of every table and their types; any other is a slice column, of strings or numbers."""

METADATA_KEY = b"sadcl"
_FIX = "Write it again with `dvc repro ingest`"


@dataclass(frozen=True)
class LookAlike:
    """Two photos that show the same, one in test and the other in train or select.

    Attributes:
        test, other: ids of the photos.
        transform: what turns the other into the one in test, such as ``mirrored``; empty where both show the same.
        similarity: 0 to 1.
    """

    test: str
    other: str
    transform: str
    similarity: float


@dataclass(frozen=True)
class Table:
    """Annotations of a data set.

    Attributes:
        frame: one row per image, with the columns of ``SCHEMA`` (labels and ignored as lists of class
            indexes, problem None or a sentence) and the slice columns after them.
        classes: names, in order of index.
        source: folder that ``file`` is relative to, itself relative to the repository.
        protocol: by split, number of images and digest of their ids:
            ``{"train": {"images": 3000, "ids": "9f2c..."}, ...}``.
        look_alikes: pairs of photos across the border of test, the most similar first.
    """

    frame: "pd.DataFrame"
    classes: tuple[str, ...]
    source: str
    protocol: dict[str, Any]
    look_alikes: tuple[LookAlike, ...] = ()

    @property
    def slices(self) -> list[str]:
        """Names of the slice columns."""
        return [name for name in self.frame.columns if name not in SCHEMA]

    def split(self, name: str) -> "pd.DataFrame":
        """Rows of one split, in order."""
        return self.frame[self.frame["split"] == name]


def write_table(path: str | Path, table: Table) -> None:
    """Write a table as Parquet; the file appears complete or not at all.

    Raises:
        SadclError: the disk is full.
    """
    description: dict[str, Any] = {"classes": list(table.classes), "source": table.source, "protocol": table.protocol}
    if table.look_alikes:
        description["look_alikes"] = [astuple(pair) for pair in table.look_alikes]
    metadata = {METADATA_KEY: json.dumps(description, sort_keys=True, ensure_ascii=False).encode()}
    fields = [pa.field(name, kind) for name, kind in SCHEMA.items()]
    fields += [pa.field(name, _slice_type(table.frame[name])) for name in table.slices]
    columns = [pa.array(_python_values(table.frame[field.name]), field.type) for field in fields]
    with files.atomic_write(path) as temporary_path:
        pq.write_table(pa.Table.from_arrays(columns, schema=pa.schema(fields, metadata)), temporary_path)


def read_table(path: str | Path) -> Table:
    """Read an annotation table.

    Raises:
        SadclError: the file is missing, damaged, or no annotation table.
    """
    import pandas as pd

    try:
        stored = pq.read_table(path)
        about = json.loads(stored.schema.metadata[METADATA_KEY])
        names = [*SCHEMA, *(name for name in stored.column_names if name not in SCHEMA)]
        columns = {name: column(stored.column(name).to_pylist()) for name in names}
        classes, source, protocol = (
            tuple(about["classes"]),
            str(about["source"]),
            dict(about["protocol"]),
        )
        look_alikes = tuple(LookAlike(*pair) for pair in about.get("look_alikes", ()))
    except FileNotFoundError:
        raise SadclError("There is no annotation table", where=path, fix=_FIX) from None
    except (pa.ArrowException, KeyError, TypeError, ValueError, OSError) as error:
        reason = first_line(error)
        raise SadclError(f"The annotation table is damaged: {reason}", where=path, fix=_FIX) from None
    return Table(pd.DataFrame(columns), classes, source, protocol, look_alikes)


def targets(lists: Iterable[Sequence[int]], classes: int) -> np.ndarray:
    """Convert N lists of class indexes to a matrix.

    Returns:
        bool [N, C].
    """
    rows = list(lists)
    matrix = np.zeros((len(rows), classes), dtype=bool)
    matrix[np.repeat(np.arange(len(rows)), [len(row) for row in rows]), [i for row in rows for i in row]] = True
    return matrix


def column(values: "Sequence[Any] | pd.Series[Any]") -> "pd.Series[Any]":
    """Series of numbers as floats or integers, of strings and lists as objects, so that None stays None."""
    import pandas as pd

    known = [value for value in values if value is not None]
    numeric = bool(known) and all(isinstance(value, (int, float)) for value in known)
    return pd.Series(values) if numeric else pd.Series(values, dtype=object)


def _python_values(values: "pd.Series[Any]") -> list[Any]:
    """Values of a column as Python objects, each missing one as None."""
    import pandas as pd

    return [None if value is pd.NA or (isinstance(value, float) and value != value) else value for value in values]


def _slice_type(values: "pd.Series[Any]") -> pa.DataType:
    return pa.string() if column(_python_values(values)).dtype == object else pa.float64()
