"""Sharing of reads between concurrent requests: each gets a value that was read after it arrived, few reads run."""

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

MAX_KEYS = 100
"""Most values in memory; the oldest go first."""


@dataclass
class _Read(Generic[T]):
    number: int
    finished: bool = False
    value: T | None = None
    """None where the read failed."""


class SharedReads(Generic[T]):
    """Values by key. Of one key, one read runs at a time.

    Requests that arrive while it runs share the next one: no request gets a value that may be older than itself, and a
    crowd of requests causes a few reads. A failed read is shared with nobody, since its reason may be the log-in that
    it used.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._begun = 0
        self._reads: dict[Hashable, _Read[T]] = {}

    def arrival(self) -> int:
        """The present moment, for ``get``."""
        return self._begun

    def get(self, key: Hashable, arrival: int, read: Callable[[], T]) -> T:
        """A value that was read after a moment, by this caller or by another one.

        Args:
            key: callers with the same key may share the value.
            arrival: the moment, as ``arrival`` returned it.
            read: reads the value.
        """
        own = self._own_or_finished(key, arrival)
        if own.finished:
            return read() if own.value is None else own.value
        try:
            own.value = read()
            return own.value
        finally:
            with self._changed:
                own.finished = True
                self._changed.notify_all()

    def _own_or_finished(self, key: Hashable, arrival: int) -> _Read[T]:
        """A read that the caller has to do, or one that another caller finished."""
        with self._changed:
            while True:
                latest = self._reads.get(key)
                if latest is None or (latest.finished and latest.number <= arrival):
                    return self._begin(key)
                if latest.finished:
                    return latest
                self._changed.wait()

    def _begin(self, key: Hashable) -> _Read[T]:
        self._begun += 1
        self._reads.pop(key, None)
        while len(self._reads) >= MAX_KEYS:
            del self._reads[next(iter(self._reads))]
        self._reads[key] = _Read(self._begun)
        return self._reads[key]
