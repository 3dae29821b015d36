"""The lease loop: hands pieces to an engine, and finds the photos that end its workers.

A worker that is lost returns its piece. Photos that were being decoded then are computed alone. Without such a hint
the piece is tried again, and then halved down to one photo. A photo that ends three workers, or two while it was the
only one being decoded, gets a reason in place of a result.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import pyarrow as pa

from sadcl.batch.chunks import Chunk, Piece

MOST_LOSSES = 3
REMOVE_PHOTO = "Run this again; if the same photo is named, remove it from the data"
"""What to do where a job can't go on without a photo."""


@dataclass(frozen=True)
class Done:
    """A piece was computed.

    Attributes:
        number: of the lease.
        results: table of what its worker computed.
    """

    number: int
    results: pa.Table


@dataclass(frozen=True)
class Lost:
    """The worker of a piece ended.

    Attributes:
        number: of the lease.
        reason: how it ended.
        suspects: indexes of the photos that it was decoding, where that is known.
        counted: whether the piece was being computed; False where it waited behind another.
    """

    number: int
    reason: str
    suspects: tuple[int, ...] = ()
    counted: bool = True


@dataclass(frozen=True)
class Late:
    """A photo took too long, and its worker was ended.

    Attributes:
        number: of the lease.
        index: of the photo in its chunk.
        reason: the limit, in words.
    """

    number: int
    index: int
    reason: str


Event = Done | Lost | Late


class Engine(Protocol):
    """Workers that compute pieces."""

    def room(self) -> bool:
        """Whether another piece may be submitted now."""

    def submit(self, number: int, rows: pa.Table) -> None:
        """Hand over rows, with their indexes in the chunk, under a number that is used once."""

    def wait(self) -> list[Event]:
        """Wait for a moment, and return what happened; events of earlier leases may come late or twice.

        Raises:
            SadclError: no worker can be started.
        """

    def close(self) -> None:
        """End all workers."""


class Sink(Protocol):
    """Where results go."""

    def add(self, chunk: Chunk, results: pa.Table) -> None:
        """Take results of some rows of a chunk."""

    def fail(self, chunk: Chunk, index: int, reason: str) -> None:
        """Take the reason why a row has no result."""


def work(pieces: Iterable[Piece], rows: Callable[[Piece], pa.Table], engine: Engine, sink: Sink) -> Iterator[int]:
    """Compute all pieces; each row reaches the sink exactly once.

    Args:
        pieces: taken one by one, as the engine has room.
        rows: reads the rows of a piece.
        engine: computes them.
        sink: takes results and failures.

    Yields:
        Numbers of photos that have become ready.

    Raises:
        SadclError: no worker can be started, or the sink can't write.
    """
    waiting, returned, leases = iter(pieces), deque[Piece](), dict[int, Piece]()
    number, exhausted = 0, False
    while True:
        while engine.room() and not (exhausted and not returned):
            piece = returned.popleft() if returned else next(waiting, None)
            if piece is None:
                exhausted = True
                continue
            leases[number] = piece
            engine.submit(number, rows(piece))
            number += 1
        if exhausted and not leases and not returned:
            return
        for event in engine.wait():
            piece = leases.pop(event.number, None)
            if piece is None:  # of a lease that was lost and computed elsewhere
                continue
            if isinstance(event, Done):
                sink.add(piece.chunk, event.results)
                yield len(piece.indexes)
            else:
                again, failed = resolve(piece, event)
                returned.extend(again)
                for index, reason in failed:
                    sink.fail(piece.chunk, index, reason)
                    yield 1


def resolve(piece: Piece, event: Lost | Late) -> tuple[list[Piece], list[tuple[int, str]]]:
    """Decide what becomes of a lost piece: pieces to compute, and photos that get a reason."""
    if isinstance(event, Late):
        return _without(piece, {event.index}), [(event.index, event.reason)] if event.index in piece.indexes else []
    if not event.counted:
        return [piece], []
    losses = piece.losses + 1
    if len(piece.indexes) == 1:
        was_decoded = event.suspects == piece.indexes  # and nothing else was
        if losses >= MOST_LOSSES - was_decoded:
            return [], [(piece.indexes[0], event.reason)]
        return [replace(piece, losses=losses)], []
    suspects = [index for index in event.suspects if index in piece.indexes]
    if suspects:
        alone = [Piece(piece.chunk, (index,), losses=1) for index in suspects]
        return [*_without(piece, set(suspects)), *alone], []
    if losses < MOST_LOSSES:
        return [replace(piece, losses=losses)], []
    middle = len(piece.indexes) // 2
    halves = (piece.indexes[:middle], piece.indexes[middle:])
    # one more loss halves a half again; a single photo has to end further workers
    return [Piece(piece.chunk, half, MOST_LOSSES - 1 if len(half) > 1 else 1) for half in halves], []


def _without(piece: Piece, indexes: set[int]) -> list[Piece]:
    rest = tuple(index for index in piece.indexes if index not in indexes)
    # its losses are accounted for by the others
    return [Piece(piece.chunk, rest)] if rest else []
