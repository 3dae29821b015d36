"""Outages of a storage: operations that are tried again with pauses, for ten minutes at most."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from sadcl.errors import SadclError, first_line
from sadcl.progress import duration, say

T = TypeVar("T")

LIMIT = 600.0
"""Seconds without the storage after which a search ends."""

PAUSE = 5.0
"""Seconds between two attempts."""

_NOT_FOUND = "Record does not exist"
"""Optuna's message about a study or trial that was deleted."""


class StorageAwayError(SadclError):
    """The storage has not answered for ``LIMIT`` seconds."""


@dataclass
class Outage:
    """Operations on one storage, and how long it has not answered.

    Args:
        where: address of the storage without its login, for messages.
        limit: seconds without the storage after which an operation raises.
        pause: seconds between two attempts of ``wait``.

    Attributes:
        since: monotonic second of the first operation without an answer; None while the storage answers.
        ended: monotonic second at which the last outage ended.
    """

    where: str
    limit: float = LIMIT
    pause: float = PAUSE
    since: float | None = None
    ended: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def attempt(self, operation: Callable[[], T]) -> T | None:
        """Run an operation once; None where the storage does not answer.

        Raises:
            StorageAwayError: it has not answered for ``limit`` seconds.
            SadclError: the study is no longer in the storage.
        """
        from optuna.exceptions import StorageInternalError
        from sqlalchemy.exc import DBAPIError, PendingRollbackError

        try:
            result = operation()
        except (StorageInternalError, DBAPIError, PendingRollbackError) as error:
            # Optuna's message says nothing; the database's own one is its cause
            self._record_failure(reason(error))
            return None
        except KeyError as error:
            if _NOT_FOUND not in str(error):
                raise
            fix = "Run `sadcl tune` to begin it again"
            raise SadclError("The study was deleted from the storage", where=self.where, fix=fix) from None
        self._record_success()
        return result

    def wait(self, operation: Callable[[], T]) -> T:
        """Run an operation, again and again until the storage answers; it has to bear a second run.

        Raises:
            StorageAwayError: the storage has not answered for ``limit`` seconds.
            SadclError: the study is no longer in the storage.
        """
        while True:
            # a result of None is a result
            done = self.attempt(lambda: (operation(),))
            if done is not None:
                return done[0]
            time.sleep(self.pause)

    def _record_failure(self, reason: str) -> None:
        with self._lock:
            now = time.monotonic()
            if self.since is None:
                self.since = now
                say(f"the storage of studies does not answer ({reason}); trying again for {duration(self.limit)}")
            if now - self.since < self.limit:
                return
        raise StorageAwayError(
            f"The storage of studies has not answered for {duration(now - self.since)}: {reason}",
            where=self.where,
            fix="Run the same command again once it answers; trainings go on from their states",
        )

    def _record_success(self) -> None:
        with self._lock:
            if self.since is not None:
                self.ended = time.monotonic()
                say(f"the storage of studies answers again, after {duration(self.ended - self.since)}")
                self.since = None


def reason(error: BaseException) -> str:
    """First line of the database's own message, which Optuna and SQLAlchemy wrap."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(original := getattr(inner, "orig", None), Exception):
            return first_line(original)
        # without a cause, a clean-up failed after the error that the database reported
        error, inner = inner, inner.__cause__ or inner.__context__
    return first_line(error) if isinstance(error, Exception) else type(error).__name__
