"""Chunks: consecutive rows of a manifest, computed and written together, and named by their content.

Where a chunk ends depends on the paths near its end alone, never on a row's number. A new photo therefore changes the
chunk that it falls into and no other.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa

BATCH = 32
"""Photos that the network sees at a time; it always sees the same ones together."""
PHOTOS, BYTES = 512, 64_000_000
"""Photos or bytes of a chunk, on average; a killed job computes its unfinished chunks again."""
MOST = 4
"""Times the average that no chunk exceeds."""


@dataclass(frozen=True)
class Chunk:
    """Consecutive rows of a manifest.

    Attributes:
        first: number of its first row.
        count: of rows.
        key: names it: by default the digest of the rows, the model and the settings, in hexadecimal.
    """

    first: int
    count: int
    key: str


@dataclass(frozen=True)
class Piece:
    """Rows of a chunk that one worker computes.

    Attributes:
        chunk: that they belong to.
        indexes: of the rows in the chunk, ascending.
        losses: how often a worker was lost with the piece.
    """

    chunk: Chunk
    indexes: tuple[int, ...]
    losses: int = 0


def cut(groups: Iterable[pa.Table], salt: str) -> Iterator[Chunk]:
    """Cut a manifest into chunks; equal rows and salt give equal chunks.

    Args:
        groups: tables of consecutive rows with the manifest's columns.
        salt: digest of whatever else decides the results.
    """
    first = count = size = 0
    digest = hashlib.sha256(salt.encode())
    for group in groups:
        for path, length, version in zip(*(column.to_pylist() for column in group.columns), strict=True):
            digest.update(f"{path}\0{length}\0{version}\0".encode())
            count, size = count + 1, size + (length or 0)
            if _ends(path, length or 0) or count >= MOST * PHOTOS or size >= MOST * BYTES:
                yield Chunk(first, count, digest.hexdigest())
                first, count, size, digest = first + count, 0, 0, hashlib.sha256(salt.encode())
    if count:
        yield Chunk(first, count, digest.hexdigest())


def _ends(path: str, length: int) -> bool:
    """Whether a chunk ends with this photo: by chance that its path decides, so that the averages come out."""
    drawn = int.from_bytes(hashlib.blake2b(path.encode(), digest_size=8).digest()) / 2**64
    return drawn < max(1 / PHOTOS, length / BYTES)


def pieces(chunk: Chunk, indexes: Iterable[int], most: int) -> Iterator[Piece]:
    """Split rows of a chunk into pieces of at most ``most`` rows.

    Args:
        chunk: that they belong to.
        indexes: of the rows in the chunk, ascending.
        most: multiple of the batch, so that no batch is computed for two pieces.
    """
    part: list[int] = []
    for index in indexes:
        if part and index // most != part[0] // most:
            yield Piece(chunk, tuple(part))
            part = []
        part.append(index)
    if part:
        yield Piece(chunk, tuple(part))
