"""How often a log-in may be tried: after some failures, each further one makes its name and its address wait longer."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

FREE = {"name": 5, "address": 20}
"""Failures before anybody waits. A team behind one address has more of them."""
FIRST, LONGEST = 15, 300
"""Seconds: the first wait, which doubles with each failure, and the longest."""
FORGOTTEN = 15 * 60
"""Seconds of quiet after which failures count no more."""
MOST = 10_000
"""Names and addresses that are remembered; the oldest make room."""


@dataclass
class _Failures:
    count: int
    last: float


class Attempts:
    """Failed log-ins by name and by address.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures: dict[tuple[str, str], _Failures] = {}
        self._lock = threading.Lock()

    def begin(self, name: str, address: str) -> int:
        """Ask for an attempt, which counts as failed until ``succeeded`` is called: many at once get no more tries.

        Returns:
            Seconds to wait; 0 lets the attempt begin.
        """
        now, keys = self._clock(), _keys(name, address)
        with self._lock:
            wait = max(self._wait(key, now) for key in keys)
            if wait > 0:
                return ceil(wait)
            for key in keys:
                known = self._failures.pop(key, _Failures(0, now))
                self._failures[key] = _Failures(known.count + 1, now)
            while len(self._failures) > MOST:
                del self._failures[next(iter(self._failures))]
            return 0

    def succeeded(self, name: str, address: str) -> None:
        """The attempt was none that failed; the name's earlier failures are forgotten, the address's stay."""
        by_name, by_address = _keys(name, address)
        with self._lock:
            self._failures.pop(by_name, None)
            self._take_back(by_address)

    def undecided(self, name: str, address: str) -> None:
        """Nobody could say whether the attempt was right."""
        with self._lock:
            for key in _keys(name, address):
                self._take_back(key)

    def _take_back(self, key: tuple[str, str]) -> None:
        known = self._failures.get(key)
        if known is not None:
            known.count -= 1

    def _wait(self, key: tuple[str, str], now: float) -> float:
        known = self._failures.get(key)
        if known is None:
            return 0
        if now - known.last >= FORGOTTEN:
            del self._failures[key]
            return 0
        beyond = known.count - FREE[key[0]]
        return 0 if beyond < 0 else known.last + min(LONGEST, FIRST * 2 ** min(beyond, 10)) - now


def _keys(name: str, address: str) -> Sequence[tuple[str, str]]:
    return [("name", name.strip().casefold()[:200]), ("address", address)]
