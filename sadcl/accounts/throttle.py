"""How often a log-in may be tried: after some failures, each further one makes its name and its address wait longer."""

import hmac
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from math import ceil
from typing import Any

FREE = {"name": 5, "address": 20}
"""Failures before anybody waits. A team behind one address has more of them."""
FIRST, LONGEST = 15, 300
"""Seconds: the first wait, which doubles with each failure, and the longest."""
FORGOTTEN = 15 * 60
"""Seconds of quiet after which failures count no more."""
MOST = 10_000
"""Names and addresses that are remembered, and as many log-ins that succeeded."""
BESIEGED = 1000
"""Attempts that were made to wait, from which on a name's own log-in waits too. A log-in that passes while others
wait tells who guesses that it is the right one: without an end to that, waiting would not slow guessing at all."""

Key = tuple[str, str]


@dataclass
class _Failures:
    count: int
    last: float
    refused: int = 0


class LoginThrottle:
    """Failed log-ins by name and by address.

    A name and password that succeeded in this process are known (as a keyed digest): they are neither counted nor made
    to wait, so that nobody shuts others out by guessing at their names.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._failures: dict[Key, _Failures] = {}
        self._known: dict[bytes, None] = {}
        self._wrong: dict[bytes, None] = {}
        self._counted: dict[bytes, int] = {}
        self._lock = threading.Lock()

    def begin(self, name: str, address: str, password: str) -> int:
        """Ask for an attempt, which counts as failed until ``succeeded`` is called: many at once get no more tries.

        Returns:
            Seconds to wait; 0 lets the attempt begin.
        """
        now, keys, pair = self._clock(), _keys(name, address), self._pair(name, password)
        with self._lock:
            if pair in self._known and not self._besieged(keys[0], now):
                return 0
            wait = max(self._wait(key, now) for key in keys)
            if wait > 0:
                self._noted(keys[0], now).refused += 1
                return ceil(wait)
            self._count(keys, now)
            self._counted[pair] = self._counted.pop(pair, 0) + 1
            _keep(self._counted)
            return 0

    def succeeded(self, name: str, address: str, password: str) -> None:
        """The attempt was none that failed; at a first success the name's earlier failures are forgotten, too.

        Those of the address stay, and the name's as well where the log-in was known before: whoever guesses gains
        nothing from the traffic of the person whose name it is.
        """
        keys, pair = _keys(name, address), self._pair(name, password)
        with self._lock:
            if self._was_counted(pair):
                self._take_back(keys)
            self._wrong.pop(pair, None)
            if pair not in self._known:
                self._failures.pop(keys[0], None)
                self._known[pair] = None
                _keep(self._known)

    def failed(self, name: str, address: str, password: str) -> None:
        """The attempt failed: a log-in that was known is so no longer."""
        now, pair = self._clock(), self._pair(name, password)
        with self._lock:
            self._known.pop(pair, None)
            self._wrong[pair] = None
            _keep(self._wrong)
            if not self._was_counted(pair):
                self._count(_keys(name, address), now)

    def failed_before(self, name: str, password: str) -> bool:
        """Whether this very pair failed: tried again, it is no further guess."""
        with self._lock:
            return self._pair(name, password) in self._wrong

    def undecided(self, name: str, address: str, password: str) -> None:
        """Nobody could say whether the attempt was right."""
        with self._lock:
            if self._was_counted(self._pair(name, password)):
                self._take_back(_keys(name, address))

    def _pair(self, name: str, password: str) -> bytes:
        return hmac.digest(self._key, ascii((name, password)).encode(), "sha256")

    def _count(self, keys: list[Key], now: float) -> None:
        for key in keys:
            known = self._noted(key, now)
            known.count, known.last = known.count + 1, now

    def _noted(self, key: Key, now: float) -> _Failures:
        if key not in self._failures and len(self._failures) >= MOST:
            self._make_room(now)
        return self._failures.setdefault(key, _Failures(0, now))

    def _make_room(self, now: float) -> None:
        """What is forgotten goes first, then a tenth of the rest: the fewest failures, the oldest of those.

        So a flood of names that were tried once does not wash away the one that somebody guesses at.
        """
        for key in [key for key in self._failures if self._forgotten(key, now)]:
            del self._failures[key]
        least = sorted(self._failures, key=lambda key: (self._failures[key].count, self._failures[key].last))
        for key in least[: max(0, len(least) - MOST * 9 // 10)]:
            del self._failures[key]

    def _was_counted(self, pair: bytes) -> bool:
        """Whether an attempt of this pair stands among the failures, once for each."""
        counted = self._counted.pop(pair, 0)
        if counted > 1:
            self._counted[pair] = counted - 1
        return counted > 0

    def _take_back(self, keys: list[Key]) -> None:
        for key in keys:
            known = self._failures.get(key)
            if known is not None:
                known.count -= 1

    def _wait(self, key: Key, now: float) -> float:
        if key not in self._failures or self._forgotten(key, now):
            self._failures.pop(key, None)
            return 0
        known = self._failures[key]
        beyond = known.count - FREE[key[0]]
        return 0 if beyond < 0 else known.last + min(LONGEST, FIRST * 2 ** min(beyond, 10)) - now

    def _besieged(self, key: Key, now: float) -> bool:
        known = self._failures.get(key)
        return known is not None and known.refused >= BESIEGED and not self._forgotten(key, now)

    def _forgotten(self, key: Key, now: float) -> bool:
        return now - self._failures[key].last >= FORGOTTEN


def _keys(name: str, address: str) -> list[Key]:
    """The name, and the address unless it is loopback: people come there through tunnels, all from the same one."""
    return [("name", name.strip().casefold()[:200]), *([] if _loopback(address) else [("address", address)])]


def _loopback(address: str) -> bool:
    try:
        found = ip_address(address)
    except ValueError:
        return False
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback


def _keep(pairs: dict[bytes, Any]) -> None:
    while len(pairs) > MOST:
        del pairs[next(iter(pairs))]
