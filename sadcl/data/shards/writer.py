"""Shards on disk: photos of the annotation table, encoded once, in Arrow files of many rows."""

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from sadcl import files, params
from sadcl.data.images import decode, jpeg
from sadcl.data.images.resize import resize
from sadcl.data.shards.reader import _KEY, COLUMNS, FORMAT, INDEX
from sadcl.data.table import SPLITS, Table, column
from sadcl.errors import SadclError
from sadcl.progress import track

T = TypeVar("T")
R = TypeVar("R")

LONGEST = 4
"""A shard ends at the latest after this many times ``shard_rows`` rows."""
GROUP_BYTES = 32 << 20
"""Photos are gathered up to this size before they are written: memory that does not grow with the data."""
_STALE = "Run `dvc repro` again, so that ingest looks at it"


def write_shards(table: Table, root: Path, directory: Path, settings: params.Prepare, workers: int) -> dict[str, int]:
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
        folders = {split: stack.enter_context(files.atomic_directory(directory / split)) for split in SPLITS}
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
