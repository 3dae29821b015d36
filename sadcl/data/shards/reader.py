"""Shards, read: encoded photos and their labels in memory-mapped Arrow files.

Rows are sorted by id, and a hash of the id decides where a new shard begins: adding photos leaves most shards byte for
byte as they were, so that DVC stores and pushes only the changed ones. A shard is named after its first id for the same
reason; ``index.json`` lists the shards of a split in order. Where they lie on S3, a file with all other columns says in
which bytes of which shard each photo is.
"""

import copy
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sadcl import files, s3
from sadcl.data.shards import cache, index
from sadcl.data.shards.index import FIX
from sadcl.data.shards.remote import RemotePhotos
from sadcl.data.table import SCHEMA
from sadcl.data.text_column import TextColumn
from sadcl.errors import SadclError, first_line

COLUMNS = {
    **{name: SCHEMA[name] for name in ("image_id", "labels", "ignored", "width", "height", "sha256")},
    "jpeg": pa.large_binary(),
}
"""Columns of every shard. ``jpeg`` holds the original file, of any format, or a re-encoded JPEG; ``width``, ``height``
and ``sha256`` describe the original. Any other column is a slice column."""

_WITHOUT_PHOTOS = {name: kind for name, kind in COLUMNS.items() if name != "jpeg"}
POSITIONS = {"jpeg.shard": pa.int32(), "jpeg.offset": pa.int64(), "jpeg.length": pa.int64()}
"""Columns of ``index.ROWS``, in place of ``jpeg``: number of the shard in the index, and where in it the photo lies."""

TEXTS = ("image_id", "sha256")
"""Columns of texts that every photo has."""

METADATA_KEY = b"sadcl"


class Shards:
    """One split, open for reading: N photos on the disk or on S3, their labels of C classes in memory.

    Attributes:
        ids: image ids, in order.
        classes: class names.
        targets: bool [N, C], present.
        ignored: bool [N, C], neither present nor absent.
        sha256: digests of the original photos.
    """

    def __init__(self, directory: Path) -> None:
        """Open a split.

        Args:
            directory: of the split, as ``writer.write_shards`` wrote it.

        Raises:
            SadclError: the directory is missing or incomplete, or holds a damaged or foreign shard.
        """
        self.directory = Path(directory)
        self.index = index.read(self.directory)
        self._remote: RemotePhotos | None = None
        if self.index.rows is None:
            tables = [_open(self.directory / shard.file, shard, COLUMNS) for shard in self.index.shards]
        else:
            path = self.directory / index.ROWS
            tables = [_open(path, self.index.rows, {**_WITHOUT_PHOTOS, **POSITIONS})]
            if files.digest(path) != self.index.rows.sha256:
                raise SadclError("The file is damaged", where=path, fix=FIX)
            self._remote = RemotePhotos(self.index, cache.local())
        # class numbers of one shard would mean other classes in another
        if any(table.schema.metadata != tables[0].schema.metadata for table in tables):
            raise SadclError("The shards belong to different data sets", where=self.directory, fix=FIX)
        self._table = pa.concat_tables(tables)
        self.classes: tuple[str, ...] = tuple(_metadata(self._table.schema)["classes"])
        self.ids, self.sha256 = (TextColumn(self._table[name]) for name in TEXTS)
        self.targets, self.ignored = (self._matrix(name) for name in ("labels", "ignored"))

    def __len__(self) -> int:
        return len(self.ids)

    def jpeg(self, i: int) -> bytes:
        """Encoded photo of row ``i``; safe in threads.

        Raises:
            SadclError: the photo lies on S3, which does not answer.
        """
        if self._remote is not None:
            return self._remote.read(*self._positions[i].tolist())
        mapped = np.frombuffer(self._table["jpeg"][i].as_buffer(), np.uint8)
        return mapped.copy().tobytes()  # numpy copies without the GIL, so that a slow disk blocks no other thread

    @property
    def threads(self) -> int:
        """Number of threads that should read photos at least: they wait where these come from S3."""
        return s3.READERS if self._remote is not None and not self._remote.is_complete else 1

    def expect(self, rows: np.ndarray) -> None:
        """Prepare to read photos in an order, int [rows]: those on S3 are copied to this machine ahead of their use."""
        if self._remote is not None:
            self._remote.expect(self._positions[rows, 0].tolist())

    def part(self, first: int, end: int) -> "Shards":
        """Rows from ``first`` to before ``end``; the digest of the photos stays that of all."""
        part = copy.copy(self)
        for name in ("slices", "longer_sides", "list_digest", "_positions"):
            part.__dict__.pop(name, None)  # cached values of all rows
        part._table = self._table.slice(first, end - first)
        part.ids, part.sha256 = self.ids[first:end], self.sha256[first:end]
        part.targets, part.ignored = self.targets[first:end], self.ignored[first:end]
        return part

    @cached_property
    def slices(self) -> dict[str, list[Any]]:
        """Values of each slice column, by name."""
        names = [name for name in self._table.column_names if name not in COLUMNS and name not in POSITIONS]
        return {name: self._table[name].to_pylist() for name in names}

    @cached_property
    def longer_sides(self) -> list[int]:
        """Longer side of each original photo, in pixels."""
        longer: list[int] = pc.max_element_wise(self._table["width"], self._table["height"]).to_pylist()
        return longer

    @cached_property
    def list_digest(self) -> str:
        """SHA-256 of the sorted ids, which identifies the list of photos."""
        return files.digest_of_ids(self.ids)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over ids, labels and encoded photos; computed from the files' digests in the index."""
        return files.digest_of([shard.sha256 for shard in self.index.shards])

    @cached_property
    def _positions(self) -> np.ndarray:
        """Shard, offset and length of each photo, int64 [N, 3]."""
        return np.stack([self._table[name].to_numpy().astype(np.int64) for name in POSITIONS], axis=1)

    def _matrix(self, name: str) -> np.ndarray:
        """A column of lists as bool [N, C]."""
        lengths, classes = pc.list_value_length(self._table[name]), pc.list_flatten(self._table[name])
        matrix = np.zeros((len(self), len(self.classes)), dtype=bool)
        try:
            matrix[np.repeat(np.arange(len(self)), lengths.to_numpy()), classes.to_numpy()] = True
        except IndexError:
            raise SadclError(f"A row's {name} contain an unknown class", where=self.directory, fix=FIX) from None
        return matrix


def _open(path: Path, shard: index.Shard, columns: Mapping[str, pa.DataType]) -> pa.Table:
    try:
        if path.stat().st_size != shard.bytes:
            raise SadclError(f"The shard should have {shard.bytes:,} bytes, not {path.stat().st_size:,}")
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        table.validate(full=True)
        has_types = all(table.schema.field(name).type == kind for name, kind in columns.items())
        if len(table) != shard.rows or not has_types or any(table[name].null_count for name in TEXTS):
            raise SadclError("This is no shard of this format")
        _metadata(table.schema)["classes"]
    except FileNotFoundError:
        raise SadclError("The shard is missing", where=path, fix=FIX) from None
    except SadclError as error:
        raise SadclError(error.what, where=path, fix=FIX) from None
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise SadclError(f"The shard is damaged: {first_line(error)}", where=path, fix=FIX) from None
    return table


def _metadata(schema: pa.Schema) -> Any:
    return json.loads(schema.metadata[METADATA_KEY])
