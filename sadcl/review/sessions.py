"""Who is logged in: random tokens in a cookie, everything else in this process's memory, never on the disk."""

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

IDLE, LONGEST = 30 * 60, 8 * 60 * 60
"""Seconds after which a session ends: without a request, and at all events."""
AGAIN = 60
"""Seconds after which the registry is asked whether it still knows the log-in of a session that goes on."""
MOST = 500
"""Sessions at a time; the one that was idle longest makes room."""

DECIDERS = frozenset({"reviewer", "administrator"})


@dataclass
class Session:
    """A person at a browser.

    Attributes:
        name, role: as the log-in knows them.
        password: what the registry is asked with; it is nowhere else.
        csrf: what each form of this session carries.
        began, seen, asked: times of the log-in, of the last request, and when the registry was asked about the log-in
            last, in the clock's seconds.
        notices: sentences that the next page shows.
        registered: what the registry held when this person's last page was made, for the pictures in it.
        alone: held while the registry is asked about the log-in, since a page's pictures come all at once.
    """

    name: str
    role: str
    password: str = field(repr=False)
    began: float
    seen: float
    asked: float
    csrf: str = field(default_factory=secrets.token_urlsafe, repr=False)
    notices: list[str] = field(default_factory=list)
    registered: Any = field(default=None, repr=False)
    alone: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def decides(self) -> bool:
        """May approve, reject and roll back."""
        return self.role in DECIDERS

    def take_notices(self) -> list[str]:
        """The notices, for the one page that shows them."""
        taken, self.notices = self.notices, []
        return taken


class Sessions:
    """Sessions by token.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._by_token: dict[str, Session] = {}
        self._lock = threading.Lock()

    def begin(self, name: str, role: str, password: str) -> str:
        """Start a session; its token is for the cookie."""
        now, token = self._clock(), secrets.token_urlsafe(32)
        with self._lock:
            self._drop_ended(now)
            if len(self._by_token) >= MOST:
                del self._by_token[min(self._by_token, key=lambda known: self._by_token[known].seen)]
            self._by_token[token] = Session(name, role, password, began=now, seen=now, asked=now)
        return token

    def get(self, token: str | None) -> Session | None:
        """The session of a token, which counts as used now; None where it ended or never was."""
        now = self._clock()
        with self._lock:
            self._drop_ended(now)
            session = self._by_token.get(token or "")
            if session is not None:
                session.seen = now
            return session

    def due(self, session: Session) -> bool:
        """Whether the registry is to be asked about this log-in again; says so once in ``AGAIN`` seconds."""
        now = self._clock()
        if now - session.asked < AGAIN:
            return False
        session.asked = now
        return True

    def end(self, token: str | None) -> None:
        """Forget a session and the password in it."""
        with self._lock:
            self._by_token.pop(token or "", None)

    def _drop_ended(self, now: float) -> None:
        ended = [token for token, s in self._by_token.items() if now - s.seen >= IDLE or now - s.began >= LONGEST]
        for token in ended:
            del self._by_token[token]
