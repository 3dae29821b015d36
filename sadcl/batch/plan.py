"""The plan of a job: which chunks are done already, which rows of the others can be taken from earlier parts."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pyarrow as pa

from sadcl.batch import chunks, parts
from sadcl.batch.chunks import Chunk, Piece
from sadcl.batch.parts import About, Collector, Part
from sadcl.data.manifest import Manifest
from sadcl.errors import SadclError


@dataclass
class Plan:
    """Chunks of a manifest, and what is left to do.

    Attributes:
        manifest: whose rows are predicted.
        chunks: all of them, in order.
        left: those that are computed, in order.
        earlier: parts with rows of other chunks, by their first path.
        written: names of the parts in the folder.
        retry: whether photos without prediction are tried again.
        reused: rows that were taken from earlier parts.
    """

    manifest: Manifest
    chunks: list[Chunk]
    left: list[Chunk]
    earlier: list[Part]
    written: set[str]
    retry: bool = False
    reused: int = field(default=0, init=False)

    @property
    def photos(self) -> int:
        """Number of photos in the chunks that are computed."""
        return sum(chunk.count for chunk in self.left)

    @property
    def rewritten(self) -> bool:
        """Whether a part that exists is written again under its name."""
        return any(parts.name(chunk.key) in self.written for chunk in self.left)

    def rows(self, piece: Piece) -> pa.Table:
        """Rows of a piece with their ``index`` in the chunk."""
        indexes = pa.array(piece.indexes, pa.int32())
        return self.manifest.rows(piece.chunk.first, piece.chunk.count).take(indexes).append_column("index", indexes)

    def pieces(self, collector: Collector, most: int) -> Iterator[Piece]:
        """Pieces of at most ``most`` rows; rows of earlier parts go to the collector instead."""
        for chunk in self.left:
            results = self._earlier_results(chunk)
            self.reused += len(results)
            if len(results):
                collector.add(chunk, results)
            done = set(results["index"].to_pylist())
            yield from chunks.pieces(chunk, (index for index in range(chunk.count) if index not in done), most)

    def _earlier_results(self, chunk: Chunk) -> pa.Table:
        rows = self.manifest.rows(chunk.first, chunk.count)
        first, last = rows["path"][0].as_py(), rows["path"][-1].as_py()
        end = bisect_left(self.earlier, True, key=lambda part: part.first > last)
        overlapping = [part for part in self.earlier[:end] if part.last >= first]
        tables = [parts.reusable(part, rows, failed_too=not self.retry) for part in overlapping]
        return _once(tables) if tables else pa.table({"index": pa.array([], pa.int32())})


def make(manifest: Manifest, folder: Path, about: About, retry: bool) -> Plan:
    """Compare a manifest with the parts in a folder.

    Args:
        manifest: whose rows are predicted.
        folder: of the parts.
        about: of the job.
        retry: whether photos without prediction are tried again.
    """
    every = list(chunks.cut(manifest.groups(), about.digest))
    written = parts.written(folder)
    done = {parts.name(chunk.key) for chunk in every} & written
    if retry:
        done = {name for name in done if (part := _part(folder, name, about)) and not part.about["failed"]}
    left = [chunk for chunk in every if parts.name(chunk.key) not in done]
    earlier = [part for name in sorted(written - done) if (part := _part(folder, name, about))] if left else []
    return Plan(manifest, every, left, sorted(earlier, key=lambda part: part.first), written, retry)


def has_part(folder: Path, about: About) -> bool:
    """Whether any part in a folder is of a model and its settings."""
    return any(_part(folder, name, about) for name in parts.written(folder))


def _part(folder: Path, name: str, about: About) -> Part | None:
    """A part, if it is of the same model and settings."""
    try:
        part = parts.read(folder / name)
    except SadclError:  # a damaged leftover has nothing to reuse
        return None
    expected = asdict(about) | {"classes": list(about.classes)}
    return part if expected.items() <= part.about.items() else None


def _once(tables: list[pa.Table]) -> pa.Table:
    """Rows of all tables, the first of each index: leftovers of several runs may overlap."""
    whole = pa.concat_tables(tables)
    seen: set[int] = set()
    first = [not (index in seen or seen.add(index)) for index in whole["index"].to_pylist()]  # type: ignore[func-returns-value]
    return whole.filter(pa.array(first, pa.bool_()))
