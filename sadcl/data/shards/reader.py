"""Shards: encoded photos and their labels in memory-mapped Arrow files.

Rows stand in order of their ids, and a new shard begins where a hash of the id says so: adding photos
leaves most shards byte for byte as they were, so that DVC stores and pushes only new ones. A shard is
named after the first id in it, for the same reason; ``index.json`` lists the shards of a split in order.
"""

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import cached_property
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sadcl import files, params
from sadcl.data.images import decode, jpeg
from sadcl.data.images.resize import resize
from sadcl.data.table import SCHEMA, SPLITS, Table, column
from sadcl.errors import SadclError
from sadcl.progress import track

T = TypeVar("T")
R = TypeVar("R")

FORMAT = 1
INDEX = "index.json"
COLUMNS = {
    **{name: SCHEMA[name] for name in ("image_id", "labels", "ignored", "width", "height", "sha256")},
    "jpeg": pa.large_binary(),
}
"""Columns of every shard. ``jpeg`` holds a photo as it was read, whatever its kind, or as it was re-encoded;
``width``, ``height`` and ``sha256`` tell of the original. Any other column is a slice column."""

LONGEST = 4
"""A shard ends at the latest after this many times ``shard_rows`` rows."""
GROUP_BYTES = 32 << 20
"""Photos are gathered up to this size before they are written: memory that does not grow with the data."""

_KEY = b"sadcl"
_FIX = "Make the shards again with `dvc repro prepare`"
_STALE = "Run `dvc repro` again, so that ingest looks at it"


def write(table: Table, root: Path, directory: Path, settings: params.Prepare, workers: int) -> dict[str, int]:
    """Write ``directory/{train,select,test}`` from a table that passed validation.

    Args:
        table: rows without a problem are written.
        root: the folder that the table's source is relative to.
        directory: gets a folder a split; none appears before all are written.
        settings: short side, JPEG quality, rows a shard.
        workers: threads that read and re-encode.

    Returns:
        How many photos each split has.

    Raises:
        SadclError: a photo is no longer what ingest saw, or the disk is full; nothing is half-written.
    """
    schema, counts = _schema(table), {}
    with ExitStack() as stack:
        folders = {split: stack.enter_context(files.writing_directory(directory / split)) for split in SPLITS}
        pool = stack.enter_context(ThreadPoolExecutor(workers, thread_name_prefix="prepare"))
        for split, folder in folders.items():
            rows = table.split(split)
            rows = rows[rows["problem"].isna()].sort_values("image_id", kind="stable")
            encoded = _in_order(
                pool, lambda row: _encoded(root / table.source, row, settings), rows.itertuples(), ahead=4 * workers
            )
            shown = track(encoded, f"shards of {split}", total=len(rows))
            _write_split(folder, rows, shown, _about(schema, table, split), settings.shard_rows)
            counts[split] = len(rows)
    return counts


class Shards:
    """One split, opened for reading: labels in memory, photos mapped.

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
            directory: as ``write`` made it.

        Raises:
            SadclError: it is missing or incomplete, or holds a file that is no shard of it.
        """
        self.directory = Path(directory)
        self._index = _read_index(self.directory)
        opened = [_open(self.directory / shard["file"], shard) for shard in self._index]
        if any(part.schema.metadata != opened[0].schema.metadata for part in opened):
            raise SadclError("The shards belong to different data sets", where=self.directory, fix=_FIX)
        self._table = pa.concat_tables(opened)
        self.classes: tuple[str, ...] = tuple(_metadata(self._table.schema)["classes"])
        self.ids: list[str] = self._table["image_id"].to_pylist()
        self.sha256: list[str] = self._table["sha256"].to_pylist()
        self.targets, self.ignored = (self._matrix(name) for name in ("labels", "ignored"))

    def __len__(self) -> int:
        return len(self.ids)

    def jpeg(self, i: int) -> bytes:
        """The encoded photo of row ``i``; safe in threads."""
        mapped = np.frombuffer(self._table["jpeg"][i].as_buffer(), np.uint8)
        return mapped.copy().tobytes()  # numpy copies without the interpreter's lock: a slow disk holds nobody up

    @cached_property
    def slices(self) -> dict[str, list[Any]]:
        """Slice columns by name."""
        return {name: self._table[name].to_pylist() for name in self._table.column_names if name not in COLUMNS}

    @cached_property
    def longer_sides(self) -> list[int]:
        """Of the photos as they came, in pixels."""
        longer: list[int] = pc.max_element_wise(self._table["width"], self._table["height"]).to_pylist()
        return longer

    @cached_property
    def list_digest(self) -> str:
        """Digest of the sorted ids: which photos these are."""
        return files.digest_of_ids(self.ids)

    @cached_property
    def digest(self) -> str:
        """Digest of everything: ids, labels and encoded photos; over the files' digests, so it costs nothing."""
        return files.digest_of([shard["sha256"] for shard in self._index])

    def _matrix(self, name: str) -> np.ndarray:
        """A column of lists as bool [N, C]."""
        lengths, classes = pc.list_value_length(self._table[name]), pc.list_flatten(self._table[name])
        matrix = np.zeros((len(self), len(self.classes)), dtype=bool)
        try:
            matrix[np.repeat(np.arange(len(self)), lengths.to_numpy()), classes.to_numpy()] = True
        except IndexError:
            raise SadclError(f"A row's {name} name an unknown class", where=self.directory, fix=_FIX) from None
        return matrix


def _write_split(folder: Path, rows: Any, encoded: Iterator[bytes], schema: pa.Schema, shard_rows: int) -> None:
    index = []
    for start, end in _boundaries(rows["image_id"].tolist(), shard_rows):
        part = rows.iloc[start:end]
        first = part["image_id"].iloc[0] if len(part) else ""
        path = folder / f"{hashlib.sha256(first.encode()).hexdigest()[:16]}.arrow"
        _write_shard(path, part, islice(encoded, len(part)), schema)
        index.append({"file": path.name, "rows": len(part), "bytes": path.stat().st_size, "sha256": files.digest(path)})
    files.write_json(folder / INDEX, {"format": FORMAT, "shards": index})


def _boundaries(ids: Sequence[str], rows: int) -> list[tuple[int, int]]:
    """Where shards begin and end; one without rows where there is no photo."""
    starts = [0]
    for i in range(1, len(ids)):
        if _hash(ids[i]) % rows == 0 or i - starts[-1] >= LONGEST * rows:
            starts.append(i)
    return list(pairwise([*starts, len(ids)]))


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[-8:], "big")


def _write_shard(path: Path, rows: Any, encoded: Iterable[bytes], schema: pa.Schema) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        done = 0
        for group in _groups(encoded):
            part = rows.iloc[done : done + len(group)]
            values = {name: part[name].tolist() for name in schema.names if name != "jpeg"} | {"jpeg": group}
            columns = [pa.array(values[f.name], f.type, from_pandas=True) for f in schema]
            writer.write_batch(pa.record_batch(columns, schema=schema))
            done += len(group)


def _groups(encoded: Iterable[bytes]) -> Iterator[list[bytes]]:
    group: list[bytes] = []
    size = 0
    for data in encoded:
        group.append(data)
        size += len(data)
        if size >= GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _schema(table: Table) -> pa.Schema:
    extra = {
        name: pa.string() if column(table.frame[name].tolist()).dtype == object else pa.float64()
        for name in table.slices
    }
    return pa.schema({**COLUMNS, **extra})


def _about(schema: pa.Schema, table: Table, split: str) -> pa.Schema:
    about = {"format": FORMAT, "classes": list(table.classes), "split": split}
    return schema.with_metadata({_KEY: json.dumps(about, sort_keys=True, ensure_ascii=False).encode()})


def _in_order(pool: ThreadPoolExecutor, work: Callable[[T], R], items: Iterable[T], ahead: int) -> Iterator[R]:
    """Results in order, with at most ``ahead`` of them waiting."""
    waiting: deque[Future[R]] = deque()
    for item in items:
        waiting.append(pool.submit(work, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _encoded(source: Path, row: Any, settings: params.Prepare) -> bytes:
    """A row's photo: its own bytes, or those of a smaller JPEG."""
    path = source / str(row.file)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SadclError(f"The photo can't be read any more: {error.strerror}", where=path, fix=_STALE) from None
    if hashlib.sha256(data).hexdigest() != row.sha256:
        raise SadclError("The photo has changed since ingest", where=path, fix=_STALE)
    if settings.short_side is None or min(row.width, row.height) <= settings.short_side:
        return data
    pixels = decode.pixels(data, at_least=settings.short_side, max_pixels=row.width * row.height, where=path)
    height, width = (
        max(1, round(side * settings.short_side / min(row.width, row.height))) for side in (row.height, row.width)
    )
    return jpeg.encode(resize(pixels, height, width, "bicubic"), settings.quality)


def _read_index(directory: Path) -> list[dict[str, Any]]:
    if not directory.is_dir():
        raise SadclError("There are no shards", where=directory, fix=_FIX)
    index = files.read_json(directory / INDEX, fix=_FIX)
    if not isinstance(index, dict) or index.get("format") != FORMAT or not index.get("shards"):
        raise SadclError(f"It is no index of shards of format {FORMAT}", where=directory / INDEX, fix=_FIX)
    strangers = {path.name for path in directory.glob("*.arrow")} - {shard["file"] for shard in index["shards"]}
    if strangers:
        raise SadclError("The file belongs to no shard of this split", where=directory / min(strangers), fix=_FIX)
    return list(index["shards"])


def _open(path: Path, shard: dict[str, Any]) -> pa.Table:
    try:
        if path.stat().st_size != shard["bytes"]:
            raise SadclError(f"The shard should have {shard['bytes']:,} bytes, not {path.stat().st_size:,}")
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        table.validate(full=True)
        if len(table) != shard["rows"] or any(table.schema.field(n).type != kind for n, kind in COLUMNS.items()):
            raise SadclError("It is no shard of this format")
        _metadata(table.schema)["classes"]
    except FileNotFoundError:
        raise SadclError("The shard is missing", where=path, fix=_FIX) from None
    except SadclError as error:
        raise SadclError(error.what, where=path, fix=_FIX) from None
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise SadclError(f"The shard is damaged: {str(error).splitlines()[0]}", where=path, fix=_FIX) from None
    return table


def _metadata(schema: pa.Schema) -> Any:
    return json.loads(schema.metadata[_KEY])
