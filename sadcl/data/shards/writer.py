"""Shards, written: photos of the annotation table, encoded once, in Arrow files of many rows."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa

from sadcl import files, params
from sadcl.data.shards import cache, index
from sadcl.data.shards.encoded import EncodedShards
from sadcl.data.shards.encoding import Encode, PlannedShard, encode_here
from sadcl.data.shards.index import FORMAT, SUFFIX, Index, Shard
from sadcl.data.shards.reader import COLUMNS, METADATA_KEY
from sadcl.data.shards.upload import upload
from sadcl.data.table import SPLITS, Table, column
from sadcl.progress import track

LONGEST = 4
"""Most rows of a shard, as a multiple of ``shard_rows``."""


def write_shards(
    table: Table,
    root: Path,
    directory: Path,
    settings: params.Prepare,
    workers: int,
    unfinished: Path | None = None,
    encode: Encode | None = None,
) -> dict[str, int]:
    """Write ``directory/{train,select,test}`` from a table that passed validation.

    Args:
        table: rows without a problem are written.
        root: the folder that the table's source is relative to.
        directory: gets a folder per split; none appears before all are written.
        settings: short side in pixels, JPEG quality, rows per shard, and where the training photos go.
        workers: threads that read and re-encode, where ``encode`` is not given.
        unfinished: folder for links to encoded shards until the run ends, so that the next one goes on where it was
            interrupted; those for S3 have no links. By default all photos are encoded.
        encode: writes the files of shards; by default, this process does.

    Returns:
        Number of photos, by split.

    Raises:
        SadclError: a photo that is encoded has changed since ingest, the disk is full, or S3 does not answer; no folder
            appears then.
    """
    schema, counts = _schema(table), {}
    encode = encode or partial(encode_here, workers=workers)
    with ExitStack() as stack:
        encoded_shards = _open_encoded(stack, unfinished, settings) if unfinished is not None else None
        folders = {split: stack.enter_context(files.atomic_directory(directory / split)) for split in SPLITS}
        # the other splits stay small, and review and verification read them without a network
        remote = () if settings.store is None else ("train",)
        parts: dict[str, list[PlannedShard]] = {}
        linked: dict[Path, Shard] = {}
        for split, folder in folders.items():
            rows = table.split(split)
            rows = rows[rows["problem"].isna()].sort_values("image_id", kind="stable")
            parts[split] = list(_parts(folder, rows, _with_metadata(schema, table, split), settings.shard_rows))
            counts[split] = len(rows)
            if encoded_shards is not None and split not in remote:
                linked |= _linked(encoded_shards, parts[split], split)
        missing = [part for split in SPLITS for part in parts[split] if part.path not in linked]
        # one stream for all splits: workers start once, and work on across the borders of shards
        encoded = stack.enter_context(closing(encode(missing, root / table.source, settings)))
        for split, folder in folders.items():
            written = _written(parts[split], linked, encoded, None if split in remote else encoded_shards)
            if split in remote:
                index.write(folder, upload(written, folder, str(settings.store), cache.local()))
            else:
                index.write(folder, Index(tuple(shard for _, shard in written)))
        if encoded_shards is not None:
            encoded_shards.clear()
    return counts


def _parts(folder: Path, rows: Any, schema: pa.Schema, shard_rows: int) -> Iterator[PlannedShard]:
    """Shards of a split."""
    for start, end in boundaries(rows["image_id"].tolist(), shard_rows):
        part = rows.iloc[start:end]
        first = part["image_id"].iloc[0] if len(part) else ""
        # hashed: an id may hold characters that no file name can
        yield PlannedShard(folder / f"{hashlib.sha256(first.encode()).hexdigest()[:16]}{SUFFIX}", part, schema)


def _open_encoded(stack: ExitStack, folder: Path, settings: params.Prepare) -> EncodedShards | None:
    """Open the shards of an interrupted run; None while another process, such as a scheduled run, uses the folder."""
    try:
        stack.enter_context(files.lock(folder / "lock", "encoding photos"))
    except files.LockedError:
        return None
    return EncodedShards(folder, settings)


def _linked(encoded_shards: EncodedShards, parts: Sequence[PlannedShard], split: str) -> dict[Path, Shard]:
    """Link the shards that an interrupted run has encoded; returns their descriptions by path."""
    if not encoded_shards:
        return {}
    shards = (encoded_shards.link(part.key(encoded_shards), part.path, len(part.rows)) for part in parts)
    tracked = track(shards, f"encoded shards of {split}", total=len(parts), unit="shards")
    return {part.path: shard for part, shard in zip(parts, tracked, strict=True) if shard is not None}


def _written(
    parts: Iterable[PlannedShard],
    linked: Mapping[Path, Shard],
    encoded: Iterator[Shard],
    encoded_shards: EncodedShards | None,
) -> Iterator[tuple[Path, Shard]]:
    """Path and description of each shard, in order; those that are not linked are encoded one by one."""
    for part in parts:
        shard = linked.get(part.path)
        if shard is None:
            shard = next(encoded)
            if encoded_shards is not None:
                encoded_shards.add(part.key(encoded_shards), part.path, shard)
        yield part.path, shard


def boundaries(ids: Sequence[str], rows: int) -> list[tuple[int, int]]:
    """First and last row (exclusive) of each shard; without photos, one shard without rows."""
    starts = [0]
    for i in range(1, len(ids)):
        # by the id alone, not by a count: a new photo then moves no border behind it
        if _hash(ids[i]) % rows == 0 or i - starts[-1] >= LONGEST * rows:
            starts.append(i)
    return list(pairwise([*starts, len(ids)]))


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[-8:], "big")


def _schema(table: Table) -> pa.Schema:
    extra = {
        name: pa.string() if column(table.frame[name].tolist()).dtype == object else pa.float64()
        for name in table.slices
    }
    return pa.schema({**COLUMNS, **extra})


def _with_metadata(schema: pa.Schema, table: Table, split: str) -> pa.Schema:
    metadata = {"format": FORMAT, "classes": list(table.classes), "split": split}
    return schema.with_metadata({METADATA_KEY: json.dumps(metadata, sort_keys=True, ensure_ascii=False).encode()})
