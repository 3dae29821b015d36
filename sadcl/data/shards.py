"""Shards: encoded photos and their labels in memory-mapped Arrow files.

Rows stand in order of their ids, and a new shard begins where a hash of the id says so: adding photos
leaves most shards byte for byte as they were, so that DVC stores and pushes only new ones. A shard is named by
the first id in it, for the same reason.
"""

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL.Image import Resampling

from sadcl import files, params
from sadcl.data import photos
from sadcl.data.table import SCHEMA, SPLITS, Table, column, targets
from sadcl.errors import SadclError
from sadcl.progress import track

COLUMNS = ("image_id", "sha256", "labels", "ignored", "width", "height")
FORMAT = 1
_KEY = b"sadcl"
_FIX = "Make them again with `dvc repro prepare`"


def write(table: Table, root: Path, directory: Path, settings: params.Prepare, workers: int) -> dict[str, int]:
    """Write ``directory/{train,select,test}/*.arrow`` from a table that passed validation.

    Args:
        table: rows without a problem are written.
        root: where the table's source lies.
        directory: gets a folder a split; each appears whole or not at all.
        settings: short side, JPEG quality, rows a shard.
        workers: threads that read and re-encode.

    Returns:
        Images a split.

    Raises:
        SadclError: a photo has gone since ingest, or the disk is full.
    """
    counts = {}
    for split in SPLITS:
        rows = table.split(split)
        rows = rows[rows["problem"].isna()].sort_values("image_id")
        with files.writing_directory(directory / split) as folder, ThreadPoolExecutor(workers) as pool:
            chunks = list(_chunks(rows["image_id"].tolist(), settings.shard_rows)) or [(0, 0)]
            for start, end in track(chunks, f"shards of {split}", unit="shards"):
                _write_shard(folder, table, split, rows.iloc[start:end], root / table.source, settings, pool)
        counts[split] = len(rows)
    return counts


class Shards:
    """One split, opened for reading: labels in memory, photos mapped."""

    def __init__(self, directory: Path) -> None:
        """Args:
        directory: a folder of shards.

        Raises:
            SadclError: it is missing, empty, or holds a file that is no shard.
        """
        self.directory = Path(directory)
        opened = [_open(path) for path in sorted(self.directory.glob("*.arrow"))]
        if not opened:
            raise SadclError("There are no shards", where=directory, fix=_FIX)
        about = json.loads(opened[0].schema.metadata[_KEY])
        self.classes: tuple[str, ...] = tuple(about["classes"])
        first = [part["image_id"][0].as_py() if len(part) else "" for part in opened]
        self._table = pa.concat_tables([opened[i] for i in np.argsort(np.array(first, dtype=object), kind="stable")])
        self.ids: list[str] = self._table["image_id"].to_pylist()
        self.sha256: list[str] = self._table["sha256"].to_pylist()
        self._jpeg = self._table["jpeg"].combine_chunks() if len(opened) == 1 else self._table["jpeg"]

    def __len__(self) -> int:
        return len(self.ids)

    def jpeg(self, i: int) -> bytes:
        """The encoded photo of row ``i``, as it was read (or re-encoded by ``prepare``)."""
        encoded: bytes = self._jpeg[i].as_py()
        return encoded

    @cached_property
    def targets(self) -> np.ndarray:
        """bool [N, C], present."""
        return targets(self._table["labels"].to_pylist(), len(self.classes))

    @cached_property
    def ignored(self) -> np.ndarray:
        """bool [N, C], neither present nor absent."""
        return targets(self._table["ignored"].to_pylist(), len(self.classes))

    @cached_property
    def slices(self) -> dict[str, list[Any]]:
        """Slice columns by name."""
        extra = [name for name in self._table.column_names if name not in (*COLUMNS, "jpeg")]
        return {name: self._table[name].to_pylist() for name in extra}

    @cached_property
    def list_digest(self) -> str:
        """Digest of the sorted ids: which photos these are."""
        return hashlib.sha256("\n".join(sorted(self.ids)).encode()).hexdigest()

    @cached_property
    def digest(self) -> str:
        """Digest of everything: ids, labels and encoded photos."""
        return files.digest_of({path.name: files.digest(path) for path in sorted(self.directory.glob("*.arrow"))})


def _chunks(ids: Sequence[str], rows: int) -> Iterator[tuple[int, int]]:
    """Where shards begin and end: at ids whose hash is small, and at the latest after four times ``rows``."""
    start = 0
    for i in range(1, len(ids) + 1):
        if i == len(ids) or _hash(ids[i]) % rows == 0 or i - start >= 4 * rows:
            yield start, i
            start = i


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def _write_shard(
    folder: Path, table: Table, split: str, rows: Any, source: Path, settings: params.Prepare, pool: ThreadPoolExecutor
) -> None:
    encoded = list(pool.map(lambda row: _encoded(source, row, settings), rows.itertuples()))
    columns: dict[str, pa.Array] = {name: pa.array(rows[name].tolist(), SCHEMA[name]) for name in COLUMNS}
    columns["jpeg"] = pa.array(encoded, pa.large_binary())
    for name in table.slices:
        kind = pa.string() if column(table.frame[name].tolist()).dtype == object else pa.float64()
        columns[name] = pa.array([None if v != v else v for v in rows[name]], kind)
    about = json.dumps({"format": FORMAT, "classes": list(table.classes), "split": split}, ensure_ascii=False)
    shard = pa.table(columns).replace_schema_metadata({_KEY: about.encode()})
    first = rows["image_id"].iloc[0] if len(rows) else ""
    path = folder / f"{hashlib.sha256(first.encode()).hexdigest()[:16]}.arrow"
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, shard.schema) as writer:
        writer.write_table(shard)


def _encoded(source: Path, row: Any, settings: params.Prepare) -> bytes:
    path = source / str(row.file)
    try:
        data: bytes = path.read_bytes()
    except OSError as error:
        raise SadclError(
            f"The photo has gone since ingest: {error.strerror}", where=path, fix="Run `dvc repro` again"
        ) from None
    if hashlib.sha256(data).hexdigest() != row.sha256:
        raise SadclError("The photo has changed since ingest", where=path, fix="Run `dvc repro` again")
    if settings.short_side is None or min(row.width, row.height) <= settings.short_side:
        return data
    image = photos.decode(data, where=path, at_least=settings.short_side)
    scale = settings.short_side / min(image.size)
    size = (max(round(image.width * scale), 1), max(round(image.height * scale), 1))
    out = io.BytesIO()
    image.resize(size, Resampling.BICUBIC).save(out, "JPEG", quality=settings.quality)
    return out.getvalue()


def _open(path: Path) -> pa.Table:
    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        about = json.loads(table.schema.metadata[_KEY])
        if about["format"] != FORMAT:
            raise SadclError(f"The shard has format {about['format']}, this sadcl reads {FORMAT}", where=path, fix=_FIX)
        table["jpeg"], about["classes"]
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise SadclError(f"The shard is damaged: {error}", where=path, fix=_FIX) from None
    return table
