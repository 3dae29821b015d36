"""Values that take seconds: one thread computes them in turn, while pages say that they are being computed."""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from sadcl.errors import SadclError
from sadcl.review.cache import Cache

ERROR_SECONDS = 10
"""Seconds for which the person who started a computation sees its error; then a page starts it again."""

Job = tuple[str, str, Callable[[], Any]]
"""Key of the value, name of the person, computation."""


class InProgressError(SadclError):
    """The value is being computed.

    Args:
        subject: what it is, for the message.
    """

    def __init__(self, subject: str) -> None:
        super().__init__(f"The {subject} is being computed", fix="This page shows it as soon as it is there")


class BackgroundValues:
    """Values of a cache, each computed once for all who wait.

    Args:
        cache: holds the values.
        clock: monotonic seconds.
    """

    def __init__(self, cache: Cache, clock: Callable[[], float]) -> None:
        self._cache, self._clock = cache, clock
        self._jobs = SimpleQueue[Job]()
        self._pending: set[str] = set()
        self._errors: dict[tuple[str, str], tuple[Exception, float]] = {}
        self._lock = threading.Lock()
        self._worker: threading.Thread | None = None

    def get(self, key: str, person: str, compute: Callable[[], Any], subject: str) -> Any:
        """The value from the cache; a missing one is computed in the background.

        Args:
            key: of the value.
            person: whose log-in ``compute`` uses; others don't see its errors.
            compute: computes the value.
            subject: what is computed, for the message.

        Raises:
            InProgressError: it is being computed.
            Exception: what ``compute`` raised a moment ago.
        """
        with self._lock:
            if key not in self._pending:  # a value is in the cache before its key leaves the set
                value = self._cache.known_value(key)
                if value is not None:
                    return value
                self._raise_recent_error(key, person)
                self._pending.add(key)
                self._jobs.put((key, person, compute))
                self._start_worker()
        raise InProgressError(subject)

    def _raise_recent_error(self, key: str, person: str) -> None:
        now = self._clock()
        self._errors = {name: entry for name, entry in self._errors.items() if now - entry[1] < ERROR_SECONDS}
        if (key, person) in self._errors:
            raise self._errors[key, person][0]

    def _start_worker(self) -> None:
        if self._worker is None:
            # a daemon: the page ends without waiting for it, and writes of the cache are atomic
            self._worker = threading.Thread(target=self._work, name="background-values", daemon=True)
            self._worker.start()

    def _work(self) -> None:
        while True:
            key, person, compute = self._jobs.get()
            error: Exception | None = None
            try:
                self._cache.value(key, compute)
            except Exception as raised:
                error = raised
            with self._lock:
                self._pending.discard(key)
                if error is not None:
                    self._errors[key, person] = (error, self._clock())
