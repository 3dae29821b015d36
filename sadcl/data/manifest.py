"""Manifest of photos: path, size and version of each photo in a Parquet file, sorted by path."""

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sadcl import files
from sadcl.errors import SadclError, first_line

SCHEMA = pa.schema([("path", pa.string()), ("bytes", pa.int64()), ("version", pa.string())])
"""Path below the place, size in bytes, and etag or time of modification; both may be null in lists of others."""
GROUP = 65_536
"""Rows that are written and read at a time."""
PLACE = b"sadcl.place"

Row = tuple[str, int | None, str | None]


def tables(rows: Iterable[Row]) -> Iterator[pa.Table]:
    """Arrow tables of rows, ``GROUP`` at a time."""
    waiting = iter(rows)
    while group := list(islice(waiting, GROUP)):
        columns = zip(*group, strict=True)
        yield pa.table([pa.array(column, kind) for column, kind in zip(columns, SCHEMA.types, strict=True)], SCHEMA)


def write(path: Path, place: str, rows: Iterable[Row]) -> None:
    """Write a manifest; rows come sorted by path.

    Args:
        path: of the file.
        place: what was listed.
        rows: path, size and version of each photo.

    Raises:
        SadclError: the file can't be written; the old one remains.
    """
    schema = SCHEMA.with_metadata({PLACE: json.dumps(place).encode()})
    with files.atomic_write(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for table in tables(rows):
            writer.write_table(table, GROUP)


class Manifest:
    """A written manifest; one group of rows is in memory at a time.

    Args:
        path: of the file.
        fix: what to do about a damaged one, for the error.

    Attributes:
        place: what was listed.

    Raises:
        SadclError: the file is missing or damaged.
    """

    def __init__(self, path: Path, fix: str = "Remove it; the next run lists the photos again") -> None:
        try:
            self._file = pq.ParquetFile(path)
            self.place: str = json.loads(self._file.schema_arrow.metadata[PLACE])
        except (OSError, pa.ArrowException, TypeError, KeyError, ValueError) as error:
            raise SadclError(f"The manifest can't be read: {first_line(error)}", where=path, fix=fix) from None
        self._read: tuple[int, pa.Table] | None = None

    def __len__(self) -> int:
        return int(self._file.metadata.num_rows)

    def groups(self) -> Iterator[pa.Table]:
        """Tables of consecutive rows."""
        for number in range(self._file.num_row_groups):
            yield self._file.read_row_group(number)

    def rows(self, first: int, count: int) -> pa.Table:
        """The table of ``count`` rows from row ``first`` on."""
        numbers = range(first // GROUP, (first + count - 1) // GROUP + 1)
        whole = pa.concat_tables([self._group(number) for number in numbers])
        return whole.slice(first - numbers[0] * GROUP, count).combine_chunks()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _group(self, number: int) -> pa.Table:
        # chunks are asked for in order
        if self._read is None or self._read[0] != number:
            self._read = (number, self._file.read_row_group(number))
        return self._read[1]
