"""Shards that several workers encode, or a cluster: the bytes of one process, whoever writes them."""

import os
from collections import Counter, deque
from collections.abc import Generator, Sequence
from contextlib import closing
from functools import partial
from itertools import chain
from pathlib import Path

import pyarrow as pa

from sadcl import files, params, processes
from sadcl.batch import lease
from sadcl.batch.chunks import Chunk, Piece
from sadcl.batch.encode_worker import FILE, INDEX, ROWS, worker_versions
from sadcl.batch.engines import start
from sadcl.batch.spec import Spec
from sadcl.data import listed_photos
from sadcl.data.shards.encoding import Encode, PlannedShard, encode_here
from sadcl.data.shards.index import Shard
from sadcl.errors import SadclError
from sadcl.processes import EngineName
from sadcl.progress import track

SECONDS = 300.0
"""Time that reading and encoding a photo may take: S3 has eight tries of half a minute."""


def chosen() -> Encode | None:
    """The function that encodes shards by the engine of ``SADCL_ENGINE``; None without one.

    Raises:
        SadclError: the variable names no engine.
    """
    engine = processes.engine()
    return None if engine is None else partial(encode, engine)


def encode(
    engine: EngineName, parts: Sequence[PlannedShard], source: Path, settings: params.Prepare
) -> Generator[Shard]:
    """Write the files of shards by workers; on a cluster, all nodes see photos and shards under the same paths.

    A shard is handed on when its turn comes; those behind a slow one wait on the disk. This process itself encodes a
    shard on which a worker ended, if each of its photos passes alone.

    Args:
        engine: ``local`` for worker processes of this machine, ``ray`` for a cluster.
        parts: in order.
        source: folder of the photos.
        settings: short side in pixels and JPEG quality.

    Yields:
        The description of each file.

    Raises:
        SadclError: no worker can be started, a photo is unreadable or has changed since ingest, or the disk is full.
    """
    chunks = [Chunk(0, len(part.rows), str(part.path)) for part in parts if len(part.rows)]
    if not chunks:
        yield from encode_here(parts, source, settings, workers=1)
        return
    local = start.environments(networks=0)[: len(chunks)]
    threads = listed_photos.threads(source, start.threads(local))
    # next to the shards: moving a file to its place copies nothing
    with files.temporary_directory(near=parts[0].path.parent) as folder:
        job_settings = {"folder": str(folder.absolute()), "prepare": settings.model_dump(mode="json")}
        spec = Spec("encode", str(source.absolute()), [], [], threads, SECONDS, worker_versions(), job_settings)
        pieces = (Piece(chunk, tuple(range(chunk.count))) for chunk in chunks)
        written = _Files(parts, source, folder)
        with closing(start.start(engine, spec, local)[0]) as running:
            ready = lease.work(pieces, written.rows, running, written)
            tracked = track(ready, "encoding photos", total=sum(chunk.count for chunk in chunks), size=int)
            waiting = deque(parts)
            for _ in chain((0,), tracked):
                while waiting and written.is_complete(waiting[0]):
                    part = waiting.popleft()
                    # none: a worker ended on one of its photos, so that several had some of its rows each
                    shard = written.shards.pop(str(part.path), None)
                    yield shard or next(encode_here([part], source, settings, workers=1))


class _Files:
    """Files of shards, moved to their places as workers have written them.

    Args:
        parts: all shards; the key of a shard's chunk is its path.
        source: folder of the photos.
        folder: in which workers write.

    Attributes:
        shards: descriptions of the files that wait for their turn, by key.
    """

    def __init__(self, parts: Sequence[PlannedShard], source: Path, folder: Path) -> None:
        self._parts = {str(part.path): part for part in parts}
        self._source, self._folder = source, folder
        self._photos = Counter[str]()
        self.shards: dict[str, Shard] = {}

    def rows(self, piece: Piece) -> pa.Table:
        """Rows of a piece, as its worker takes them."""
        part, indexes = self._parts[piece.chunk.key], pa.array(piece.indexes, pa.int64())
        table = part.table().append_column(FILE, pa.array(part.rows["file"].tolist(), pa.string())).take(indexes)
        metadata = {**part.schema.metadata, ROWS: str(len(part.rows)).encode()}
        return table.append_column(INDEX, indexes).replace_schema_metadata(metadata)

    def is_complete(self, part: PlannedShard) -> bool:
        """Whether all photos of a shard are encoded, if not by one worker."""
        return self._photos[str(part.path)] == len(part.rows)

    def add(self, chunk: Chunk, results: pa.Table) -> None:
        """Take a worker's result.

        Raises:
            SadclError: a photo can't be encoded.
        """
        [result] = results.to_pylist()
        if result["message"] is not None:
            raise SadclError(result["message"], where=result["where"], fix=result["fix"])
        self._photos[chunk.key] += result["photos"]
        if result["file"] is not None:
            path = self._parts[chunk.key].path
            os.replace(self._folder / result["file"], path)
            self.shards[chunk.key] = Shard(path.name, result["photos"], result["bytes"], result["sha256"])

    def fail(self, chunk: Chunk, index: int, reason: str) -> None:
        """Stop: a photo ends its worker each time, and shards without it would not be those of the table.

        Raises:
            SadclError: always; names the photo.
        """
        where = listed_photos.locate(self._source, self._parts[chunk.key].rows["file"].iloc[index])
        raise SadclError(f"A photo can't be encoded: {reason}", where=where, fix=lease.REMOVE_PHOTO)
