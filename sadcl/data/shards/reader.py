"""Shards, read: encoded photos and their labels in memory-mapped Arrow files.

Rows are sorted by id, and a hash of the id decides where a new shard begins: adding photos leaves most shards byte for
byte as they were, so that DVC stores and pushes only the changed ones. A shard is named after its first id for the same
reason; ``index.json`` lists the shards of a split in order.
"""

import copy
import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sadcl import files
from sadcl.data.table import SCHEMA
from sadcl.errors import SadclError, first_line

FORMAT = 1
INDEX = "index.json"
COLUMNS = {
    **{name: SCHEMA[name] for name in ("image_id", "labels", "ignored", "width", "height", "sha256")},
    "jpeg": pa.large_binary(),
}
"""Columns of every shard. ``jpeg`` holds the original file, of any format, or a re-encoded JPEG; ``width``, ``height``
and ``sha256`` describe the original. Any other column is a slice column."""

METADATA_KEY = b"sadcl"
_FIX = "Write the shards again with `dvc repro prepare`"


class Shards:
    """One split, open for reading: N photos mapped from the disk, their labels of C classes in memory.

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
        self._index = _read_index(self.directory)
        tables = [_open(self.directory / shard["file"], shard) for shard in self._index]
        # class numbers of one shard would mean other classes in another
        if any(table.schema.metadata != tables[0].schema.metadata for table in tables):
            raise SadclError("The shards belong to different data sets", where=self.directory, fix=_FIX)
        self._table = pa.concat_tables(tables)
        self.classes: tuple[str, ...] = tuple(_metadata(self._table.schema)["classes"])
        self.ids: list[str] = self._table["image_id"].to_pylist()
        self.sha256: list[str] = self._table["sha256"].to_pylist()
        self.targets, self.ignored = (self._matrix(name) for name in ("labels", "ignored"))

    def __len__(self) -> int:
        return len(self.ids)

    def jpeg(self, i: int) -> bytes:
        """Encoded photo of row ``i``; safe in threads."""
        mapped = np.frombuffer(self._table["jpeg"][i].as_buffer(), np.uint8)
        return mapped.copy().tobytes()  # numpy copies without the GIL, so that a slow disk blocks no other thread

    def part(self, first: int, end: int) -> "Shards":
        """Rows from ``first`` to before ``end``; the digest of the photos stays that of all."""
        part = copy.copy(self)
        for name in ("slices", "longer_sides", "list_digest"):
            part.__dict__.pop(name, None)  # cached values of all rows
        part._table = self._table.slice(first, end - first)
        part.ids, part.sha256 = self.ids[first:end], self.sha256[first:end]
        part.targets, part.ignored = self.targets[first:end], self.ignored[first:end]
        return part

    @cached_property
    def slices(self) -> dict[str, list[Any]]:
        """Values of each slice column, by name."""
        return {name: self._table[name].to_pylist() for name in self._table.column_names if name not in COLUMNS}

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
        return files.digest_of([shard["sha256"] for shard in self._index])

    def _matrix(self, name: str) -> np.ndarray:
        """A column of lists as bool [N, C]."""
        lengths, classes = pc.list_value_length(self._table[name]), pc.list_flatten(self._table[name])
        matrix = np.zeros((len(self), len(self.classes)), dtype=bool)
        try:
            matrix[np.repeat(np.arange(len(self)), lengths.to_numpy()), classes.to_numpy()] = True
        except IndexError:
            raise SadclError(f"A row's {name} contain an unknown class", where=self.directory, fix=_FIX) from None
        return matrix


def _read_index(directory: Path) -> list[dict[str, Any]]:
    if not directory.is_dir():
        raise SadclError("There are no shards", where=directory, fix=_FIX)
    index = files.read_json(directory / INDEX, fix=_FIX)
    if not isinstance(index, dict) or index.get("format") != FORMAT or not index.get("shards"):
        raise SadclError(f"This is no index of shards of format {FORMAT}", where=directory / INDEX, fix=_FIX)
    foreign = {path.name for path in directory.glob("*.arrow")} - {shard["file"] for shard in index["shards"]}
    if foreign:
        raise SadclError("The file belongs to no shard of this split", where=directory / min(foreign), fix=_FIX)
    return list(index["shards"])


def _open(path: Path, shard: dict[str, Any]) -> pa.Table:
    try:
        if path.stat().st_size != shard["bytes"]:
            raise SadclError(f"The shard should have {shard['bytes']:,} bytes, not {path.stat().st_size:,}")
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        table.validate(full=True)
        if len(table) != shard["rows"] or any(table.schema.field(n).type != kind for n, kind in COLUMNS.items()):
            raise SadclError("This is no shard of this format")
        _metadata(table.schema)["classes"]
    except FileNotFoundError:
        raise SadclError("The shard is missing", where=path, fix=_FIX) from None
    except SadclError as error:
        raise SadclError(error.what, where=path, fix=_FIX) from None
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise SadclError(f"The shard is damaged: {first_line(error)}", where=path, fix=_FIX) from None
    return table


def _metadata(schema: pa.Schema) -> Any:
    return json.loads(schema.metadata[METADATA_KEY])
