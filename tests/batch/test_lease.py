"""The lease loop with an engine that fails at random: each photo is done once, and only those that kill are blamed."""

import random
from collections import deque
from collections.abc import Iterator

import pyarrow as pa
import pytest

from sadcl.batch import chunks, lease
from sadcl.batch.chunks import Chunk, Piece
from sadcl.batch.lease import Done, Event, Late, Lost

CASES = 3_000


class FaultyEngine:
    """Workers that are lost at random, and with certainty at some photos; answers may come twice or too late.

    Args:
        rng: decides about faults.
        killers: photos that end the worker.
        slow: photos that take too long.
        hints: whether a lost worker says what it was decoding.
    """

    def __init__(self, rng: random.Random, killers: set[int], slow: set[int], hints: bool) -> None:
        self.rng, self.killers, self.slow, self.hints = rng, killers, slow, hints
        self.slots = [deque[tuple[int, list[int]]]() for _ in range(rng.randint(1, 4))]
        self.history: list[Event] = []
        self.submitted = 0
        self.losses: dict[int, int] = {}

    def room(self) -> bool:
        return any(len(slot) < 2 for slot in self.slots)

    def submit(self, number: int, rows: pa.Table) -> None:
        self.submitted += 1
        min(self.slots, key=len).append((number, rows["index"].to_pylist()))

    def wait(self) -> list[Event]:
        events = [event for slot in self.slots if slot and self.rng.random() < 0.6 for event in self.step(slot)]
        if self.history and self.rng.random() < 0.1:
            events.insert(0, self.rng.choice(self.history))
        self.history += events
        return events

    def step(self, slot: deque[tuple[int, list[int]]]) -> list[Event]:
        number, photos = slot[0]
        fatal = [photo for photo in photos if photo in self.killers | self.slow]
        # a machine that fails twice under one lone photo would look like the photo's fault
        unlucky = self.rng.random() < 0.15 and (len(photos) > 1 or not self.losses.get(photos[0]))
        if not fatal and not unlucky:
            slot.popleft()
            return [Done(number, pa.table({"index": photos}))]
        if fatal and fatal[0] in self.slow:
            others = self.lost(slot, ())[1:]
            return [Late(number, fatal[0], "late"), *others]
        if len(photos) == 1 and not fatal:
            self.losses[photos[0]] = 1
        suspects = set(fatal[:1]) | set(self.rng.sample(photos, min(2, len(photos))))
        return self.lost(slot, tuple(suspects) if self.hints and fatal else ())

    def lost(self, slot: deque[tuple[int, list[int]]], suspects: tuple[int, ...]) -> list[Event]:
        events: list[Event] = []
        while slot:
            number, photos = slot.popleft()
            events.append(Lost(number, "killed", () if events else suspects, counted=not events))
            harmless = not (self.killers | self.slow) & set(photos)
            if harmless and self.rng.random() < 0.2:  # it was computed all the same, and its answer comes too late
                self.history.append(Done(number, pa.table({"index": photos})))
        return events

    def close(self) -> None:
        pass


class Record:
    """A sink that holds what has come."""

    def __init__(self) -> None:
        self.done: list[int] = []
        self.failed: dict[int, str] = {}

    def add(self, chunk: Chunk, results: pa.Table) -> None:
        self.done += [chunk.first + index for index in results["index"].to_pylist()]

    def fail(self, chunk: Chunk, index: int, reason: str) -> None:
        assert chunk.first + index not in self.failed
        self.failed[chunk.first + index] = reason


def rows(piece: Piece) -> pa.Table:
    return pa.table({"index": [piece.chunk.first + index for index in piece.indexes]})


class Shifted(FaultyEngine):
    """Faults are drawn for numbers of photos; results and events carry indexes in the chunk."""

    def __init__(self, *arguments: object, sizes: list[int]) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.starts = [sum(sizes[:i]) for i in range(len(sizes) + 1)]

    def wait(self) -> list[Event]:
        return [self.shifted(event) for event in super().wait()]

    def shifted(self, event: Event) -> Event:
        def index(photo: int) -> int:
            return photo - max(start for start in self.starts if start <= photo)

        if isinstance(event, Done):
            return Done(event.number, pa.table({"index": [index(i) for i in event.results["index"].to_pylist()]}))
        if isinstance(event, Late):
            return Late(event.number, index(event.index), event.reason)
        return Lost(event.number, event.reason, tuple(map(index, event.suspects)), event.counted)


def pieces(sizes: list[int], most: int) -> Iterator[Piece]:
    first = 0
    for number, size in enumerate(sizes):
        yield from chunks.pieces(Chunk(first, size, str(number)), range(size), most)
        first += size


def run(seed: int) -> None:
    rng = random.Random(seed)
    sizes = [rng.randint(1, 40) for _ in range(rng.randint(1, 5))]
    photos = range(sum(sizes))
    fatal = rng.sample(photos, min(len(photos), rng.choice([0, 0, 1, 2, 4])))
    killers = set(fatal[: rng.randint(0, len(fatal))])
    slow = set(fatal) - killers
    engine, sink = Shifted(rng, killers, slow, rng.random() < 0.5, sizes=sizes), Record()
    ready = sum(lease.work(pieces(sizes, rng.choice([4, 16, 64])), rows, engine, sink))
    assert ready == len(photos)
    assert sorted([*sink.done, *sink.failed]) == list(photos)
    assert sink.failed == dict.fromkeys(killers, "killed") | dict.fromkeys(slow, "late")
    # a killer costs its halvings and three lone tries, not a try for each photo of its piece
    assert engine.submitted <= 3 * len(photos) + 40 * len(fatal) + 20


@pytest.mark.parametrize("first", range(0, CASES, 500))
def test_each_photo_is_done_once_and_only_killers_are_blamed(first: int) -> None:
    for seed in range(first, first + 500):
        run(seed)


def test_a_killer_without_a_hint_is_found_by_halving() -> None:
    engine, sink = FaultyEngine(random.Random(0), {77}, set(), hints=False), Record()
    engine.slots = [deque()]
    chunk = Chunk(0, 2048, "0")
    list(lease.work([Piece(chunk, tuple(range(2048)))], rows, engine, sink))
    assert sink.failed == {77: "killed"}
    assert len(sink.done) == 2047
    assert engine.submitted <= 80


def test_no_more_pieces_are_read_than_the_engine_takes() -> None:
    """The manifest may have millions of rows."""
    engine, sink, read = FaultyEngine(random.Random(1), set(), set(), hints=False), Record(), 0

    def counted() -> Iterator[Piece]:
        nonlocal read
        for piece in pieces([64] * 20, 64):
            read += 1
            yield piece

    for _ in lease.work(counted(), rows, engine, sink):
        assert read * 64 - len(sink.done) <= 64 * 2 * len(engine.slots) + 64
