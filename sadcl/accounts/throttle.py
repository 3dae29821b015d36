"""Throttle of log-ins: after some failures, each further one makes its name and its address wait longer.

Written here since rate limiters (such as the package limits) count in windows from the first attempt: they neither
double the wait from the last failure, nor bound their memory, nor take an attempt back that turned out right.
"""

import hmac
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from math import ceil
from typing import Any

FREE = {"name": 5, "address": 20}
"""Failures before an attempt waits. An address may stand for a whole team, so it has more of them."""
FIRST, LONGEST = 15, 300
"""Seconds of the first wait, which doubles with each failure, and of the longest."""
FORGOTTEN = 15 * 60
"""Seconds without a failure after which earlier ones no longer count."""
MOST = 10_000
"""Most names and addresses with failures, and most log-ins of each kind, in memory."""
BESIEGED = 1000
"""Refused attempts on a name after which its known log-in waits too. A log-in that passes while others wait tells an
attacker that it is the right one: without this limit, waiting would not slow guessing at all."""

Key = tuple[str, str]


@dataclass
class _Failures:
    count: int
    last: float
    refused: int = 0


class LoginThrottle:
    """Failed log-ins by name and by address.

    A name and password that succeeded in this process are known (as a keyed digest): they neither count nor wait, so
    that nobody shuts others out by guessing at their names.

    Args:
        clock: monotonic time in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._failures: dict[Key, _Failures] = {}
        self._known: dict[bytes, None] = {}
        self._wrong: dict[bytes, None] = {}
        self._begun: dict[bytes, int] = {}
        self._lock = threading.Lock()

    def begin(self, name: str, address: str, password: str) -> int:
        """Begin an attempt, which counts as failed until ``succeeded`` is called: parallel guesses get no more tries.

        Parallel attempts with one name and password count once: a browser begins with many requests.

        Returns:
            Seconds to wait; 0 lets the attempt begin.
        """
        now, keys, pair = self._clock(), _keys(name, address), self._pair(name, password)
        with self._lock:
            if pair in self._known and not self._besieged(keys[0], now):
                return 0
            if pair in self._begun:  # the same password once more is no further guess
                self._begun[pair] += 1
                return 0
            wait = max(self._wait(key, now) for key in keys)
            if wait > 0:
                self._record(keys[0], now).refused += 1
                return ceil(wait)
            self._count(keys, now)
            self._begun[pair] = 1
            _trim(self._begun)
            return 0

    def succeeded(self, name: str, address: str, password: str) -> None:
        """Take the attempt back from the failures; the first success of a log-in clears those of its name.

        Failures of the address stay, and so do those of the name where the log-in was known before: an attacker gains
        nothing from the traffic of the account's owner.
        """
        keys, pair = _keys(name, address), self._pair(name, password)
        with self._lock:
            if self._begun.pop(pair, 0):
                self._take_back(keys)
            self._wrong.pop(pair, None)
            if pair not in self._known:
                self._failures.pop(keys[0], None)
                self._known[pair] = None
                _trim(self._known)

    def failed(self, name: str, address: str, password: str) -> None:
        """Count the attempt as failed; a known log-in is known no longer."""
        now, pair = self._clock(), self._pair(name, password)
        with self._lock:
            self._known.pop(pair, None)
            if not self._begun.pop(pair, 0) and pair not in self._wrong:
                self._count(_keys(name, address), now)
            self._wrong[pair] = None
            _trim(self._wrong)

    def failed_before(self, name: str, password: str) -> bool:
        """Whether this name and password failed before: repeating them is no further guess."""
        with self._lock:
            return self._pair(name, password) in self._wrong

    def undecided(self, name: str, address: str, password: str) -> None:
        """Take the attempt back: the server did not decide whether it was right."""
        with self._lock:
            pair = self._pair(name, password)
            begun = self._begun.pop(pair, 0)
            if begun > 1:  # the others decide
                self._begun[pair] = begun - 1
            elif begun == 1:
                self._take_back(_keys(name, address))

    def _pair(self, name: str, password: str) -> bytes:
        return hmac.digest(self._key, ascii((name, password)).encode(), "sha256")

    def _count(self, keys: list[Key], now: float) -> None:
        for key in keys:
            record = self._record(key, now)
            record.count, record.last = record.count + 1, now

    def _record(self, key: Key, now: float) -> _Failures:
        if key not in self._failures and len(self._failures) >= MOST:
            self._make_room(now)
        return self._failures.setdefault(key, _Failures(0, now))

    def _make_room(self, now: float) -> None:
        """Drop expired records, then a tenth of the rest: those with the fewest failures first, the oldest of them.

        So a flood of names that were tried once does not push out the name that an attacker guesses at.
        """
        for key in [key for key in self._failures if self._expired(key, now)]:
            del self._failures[key]
        least = sorted(self._failures, key=lambda key: (self._failures[key].count, self._failures[key].last))
        for key in least[: max(0, len(least) - MOST * 9 // 10)]:
            del self._failures[key]

    def _take_back(self, keys: list[Key]) -> None:
        for key in keys:
            record = self._failures.get(key)
            if record is not None:
                record.count -= 1

    def _wait(self, key: Key, now: float) -> float:
        if key not in self._failures or self._expired(key, now):
            self._failures.pop(key, None)
            return 0
        record = self._failures[key]
        beyond = record.count - FREE[key[0]]
        return 0 if beyond < 0 else record.last + min(LONGEST, FIRST * 2 ** min(beyond, 10)) - now

    def _besieged(self, key: Key, now: float) -> bool:
        record = self._failures.get(key)
        return record is not None and record.refused >= BESIEGED and not self._expired(key, now)

    def _expired(self, key: Key, now: float) -> bool:
        return now - self._failures[key].last >= FORGOTTEN


def _keys(name: str, address: str) -> list[Key]:
    """Keys of an attempt: its name, and its address unless that is loopback, which all tunnels share."""
    return [("name", name.strip().casefold()[:200]), *([] if _loopback(address) else [("address", address)])]


def _loopback(address: str) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return (getattr(parsed, "ipv4_mapped", None) or parsed).is_loopback


def _trim(pairs: dict[bytes, Any]) -> None:
    while len(pairs) > MOST:
        del pairs[next(iter(pairs))]
