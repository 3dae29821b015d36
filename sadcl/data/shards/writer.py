"""Shards, written: photos of the annotation table, encoded once, in Arrow files of many rows."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa

from sadcl import files, params
from sadcl.data import listed_photos
from sadcl.data.images import decode, jpeg
from sadcl.data.images.resize import resize
from sadcl.data.shards import cache, index
from sadcl.data.shards.encoded import EncodedShards
from sadcl.data.shards.index import FORMAT, Index, Shard
from sadcl.data.shards.reader import COLUMNS, METADATA_KEY
from sadcl.data.shards.upload import upload
from sadcl.data.table import SPLITS, Table, column
from sadcl.errors import SadclError
from sadcl.processes import read_ahead
from sadcl.progress import track

LONGEST = 4
"""Most rows of a shard, as a multiple of ``shard_rows``."""
GROUP_BYTES = 32 << 20
"""Encoded photos are written in groups of this size, so that memory does not grow with the data."""
_STALE = "Run `dvc repro` again, so that ingest reads the photo"


def write_shards(
    table: Table, root: Path, directory: Path, settings: params.Prepare, workers: int, unfinished: Path | None = None
) -> dict[str, int]:
    """Write ``directory/{train,select,test}`` from a table that passed validation.

    Args:
        table: rows without a problem are written.
        root: the folder that the table's source is relative to.
        directory: gets a folder per split; none appears before all are written.
        settings: short side in pixels, JPEG quality, rows per shard, and where the training photos go.
        workers: threads that read and re-encode.
        unfinished: folder for links to encoded shards until the run ends, so that the next one goes on where it was
            interrupted; those for S3 have no links. By default all photos are encoded.

    Returns:
        Number of photos, by split.

    Raises:
        SadclError: a photo that is encoded has changed since ingest, the disk is full, or S3 does not answer; no folder
            appears then.
    """
    schema, counts = _schema(table), {}
    workers = listed_photos.threads(root / table.source, workers)
    with ExitStack() as stack:
        encoded_shards = _open_encoded(stack, unfinished, settings) if unfinished is not None else None
        folders = {split: stack.enter_context(files.atomic_directory(directory / split)) for split in SPLITS}
        pool = stack.enter_context(ThreadPoolExecutor(workers, thread_name_prefix="prepare"))
        for split, folder in folders.items():
            rows = table.split(split)
            rows = rows[rows["problem"].isna()].sort_values("image_id", kind="stable")
            # the other splits stay small, and review and verification read them without a network
            is_remote = settings.store is not None and split == "train"
            parts = list(_parts(folder, rows, _with_metadata(schema, table, split), settings.shard_rows))
            reusable = None if is_remote else encoded_shards
            linked = {} if reusable is None else _linked(reusable, parts, split)
            missing = [part for part in parts if part.path not in linked]
            # one stream for all shards, so that threads work on across their borders; a bounded number ahead, since
            # the threads would encode the whole split into memory
            encoded = read_ahead(
                pool,
                lambda row: _encoded(root / table.source, row, settings),
                (row for part in missing for row in part.rows.itertuples()),
                most=4 * workers,
            )
            tracked = track(encoded, f"shards of {split}", total=sum(len(part.rows) for part in missing))
            written = _written(parts, linked, tracked, reusable)
            if is_remote:
                index.write(folder, upload(written, folder, str(settings.store), cache.local()))
            else:
                index.write(folder, Index(tuple(shard for _, shard in written)))
            counts[split] = len(rows)
        if encoded_shards is not None:
            encoded_shards.clear()
    return counts


@dataclass(frozen=True)
class _Part:
    """A shard to write.

    Attributes:
        path: of the file.
        rows: of the annotation table.
        schema: of the file.
    """

    path: Path
    rows: Any
    schema: pa.Schema

    def columns(self, start: int = 0, end: int | None = None) -> dict[str, pa.Array]:
        """Columns of some rows but the photos."""
        rows = self.rows.iloc[start:end]
        # from_pandas: NaN in a slice column is a missing value
        return {
            field.name: pa.array(rows[field.name].tolist(), field.type, from_pandas=True)
            for field in self.schema
            if field.name != "jpeg"
        }

    def key(self, encoded_shards: EncodedShards) -> str:
        """Digest of what decides the bytes of the shard."""
        schema = pa.schema([field for field in self.schema if field.name != "jpeg"], self.schema.metadata)
        return encoded_shards.key(pa.table(self.columns(), schema), self.rows["sha256"].tolist())


def _parts(folder: Path, rows: Any, schema: pa.Schema, shard_rows: int) -> Iterator[_Part]:
    """Shards of a split."""
    for start, end in boundaries(rows["image_id"].tolist(), shard_rows):
        part = rows.iloc[start:end]
        first = part["image_id"].iloc[0] if len(part) else ""
        # hashed: an id may hold characters that no file name can
        yield _Part(folder / f"{hashlib.sha256(first.encode()).hexdigest()[:16]}.arrow", part, schema)


def _open_encoded(stack: ExitStack, folder: Path, settings: params.Prepare) -> EncodedShards | None:
    """Open the shards of an interrupted run; None while another process, such as a scheduled run, uses the folder."""
    try:
        stack.enter_context(files.lock(folder / "lock", "encoding photos"))
    except SadclError:
        return None
    return EncodedShards(folder, settings)


def _linked(encoded_shards: EncodedShards, parts: Sequence[_Part], split: str) -> dict[Path, Shard]:
    """Link the shards that an interrupted run has encoded; returns their descriptions by path."""
    if not encoded_shards:
        return {}
    shards = (encoded_shards.link(part.key(encoded_shards), part.path, len(part.rows)) for part in parts)
    tracked = track(shards, f"encoded shards of {split}", total=len(parts), unit="shards")
    return {part.path: shard for part, shard in zip(parts, tracked, strict=True) if shard is not None}


def _written(
    parts: Iterable[_Part], linked: Mapping[Path, Shard], encoded: Iterator[bytes], encoded_shards: EncodedShards | None
) -> Iterator[tuple[Path, Shard]]:
    """Write the shards that are not linked one by one; yields path and description of each shard."""
    for part in parts:
        if part.path in linked:
            yield part.path, linked[part.path]
            continue
        _write_shard(part, islice(encoded, len(part.rows)))
        shard = index.describe(part.path, len(part.rows))
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


def _write_shard(part: _Part, encoded: Iterable[bytes]) -> None:
    with pa.OSFile(str(part.path), "wb") as sink, pa.ipc.new_file(sink, part.schema) as writer:
        written = 0
        for group in _groups(encoded):
            columns = part.columns(written, written + len(group))
            columns["jpeg"] = pa.array(group, part.schema.field("jpeg").type)
            batch = pa.record_batch([columns[name] for name in part.schema.names], schema=part.schema)
            writer.write_batch(batch)
            written += len(group)


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


def _with_metadata(schema: pa.Schema, table: Table, split: str) -> pa.Schema:
    metadata = {"format": FORMAT, "classes": list(table.classes), "split": split}
    return schema.with_metadata({METADATA_KEY: json.dumps(metadata, sort_keys=True, ensure_ascii=False).encode()})


def _encoded(source: Path, row: Any, settings: params.Prepare) -> bytes:
    """Encoded photo of a row: the file itself, or a smaller JPEG where its shorter side exceeds the setting.

    Raises:
        SadclError: the photo is unreadable, or has changed since ingest.
    """
    path = listed_photos.locate(source, str(row.file))
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SadclError(f"The photo can no longer be read: {error.strerror}", where=path, fix=_STALE) from None
    # labels and size were validated for these bytes, and the gate looks for test photos by this digest
    if hashlib.sha256(data).hexdigest() != row.sha256:
        raise SadclError("The photo has changed since ingest", where=path, fix=_STALE)
    if settings.short_side is None or min(row.width, row.height) <= settings.short_side:
        return data
    pixels = decode.pixels(data, at_least=settings.short_side, max_pixels=row.width * row.height, where=path)
    height, width = (
        max(1, round(side * settings.short_side / min(row.width, row.height))) for side in (row.height, row.width)
    )
    return jpeg.encode(resize(pixels, height, width, "bicubic"), settings.quality)
