"""Shards written to S3: each under its digest, so that one that is there is not sent again."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa

from sadcl import processes, s3
from sadcl.data.shards import index
from sadcl.data.shards.cache import ShardCache
from sadcl.data.shards.index import Index, Shard
from sadcl.data.shards.reader import POSITIONS

UPLOADS = 4
"""Shards that are sent at a time."""


def upload(written: Iterable[tuple[Path, Shard]], folder: Path, store: str, cache: ShardCache) -> Index:
    """Send shards to S3 and remove the files; what fits stays in the cache.

    Args:
        written: path and description of each shard of a split, in order.
        folder: of the split; gets the file ``index.ROWS``.
        store: ``s3://`` address.
        cache: of this machine.

    Raises:
        SadclError: S3 refuses or does not answer.
    """

    def send(item: tuple[Path, Shard]) -> tuple[Shard, pa.Table]:
        path, shard = item
        rows = _positions(path)
        s3.write(s3.join(store, shard.object_name), path, shard.sha256)
        cache.move(path, shard)
        return shard, rows

    shards, tables = [], []
    with ThreadPoolExecutor(UPLOADS, thread_name_prefix="upload") as pool:
        for number, (shard, rows) in enumerate(processes.read_ahead(pool, send, written, UPLOADS)):
            shards.append(shard)
            tables.append(rows.append_column("jpeg.shard", pa.array(np.full(len(rows), number, np.int32))))
    table = pa.concat_tables(tables).combine_chunks()
    table = table.select([*(name for name in table.column_names if name not in POSITIONS), *POSITIONS])
    path = folder / index.ROWS
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return Index(tuple(shards), store, index.describe(path, len(table)))


def _positions(path: Path) -> pa.Table:
    """Columns of a shard but the photos, with offset and length of each photo in the file."""
    mapped = pa.memory_map(str(path))
    content = mapped.read_buffer()
    table = pa.ipc.open_file(content).read_all()
    offsets, lengths = [np.array([], np.int64)], [np.array([], np.int64)]
    for chunk in table["jpeg"].chunks:
        _, borders, values = chunk.buffers()
        # large_binary: 64-bit borders of the values, relative to their buffer, which lies in the mapped file
        ends = np.frombuffer(borders, np.int64)[chunk.offset : chunk.offset + len(chunk) + 1]
        offsets.append(ends[:-1] + (values.address - content.address))
        lengths.append(np.diff(ends))
    # taken: a copy, since the mapped file goes
    rows = table.drop_columns(["jpeg"]).take(pa.array(np.arange(len(table))))
    for name, column in (("jpeg.offset", offsets), ("jpeg.length", lengths)):
        rows = rows.append_column(name, pa.array(np.concatenate(column)))
    return rows
