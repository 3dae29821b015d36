"""Sessions: a random token in a cookie; name, role and password in the memory of this process, never on disk."""

import secrets
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

IDLE_SECONDS, MAX_SECONDS = 30 * 60, 8 * 60 * 60
"""Seconds after which a session ends: since its last request, and since the log-in."""
CHECK_INTERVAL = 5
"""Seconds after which the registry confirms the credentials of a session before it gets anything more."""
MAX_SESSIONS = 500
"""Most concurrent sessions; a new one replaces the one that was idle longest."""
MAX_SESSIONS_EACH = 20
"""Most concurrent sessions of an account."""

DECIDERS = frozenset({"reviewer", "administrator"})


@dataclass
class Session:
    """A person who is logged in at one browser.

    Attributes:
        name, role, rights: of the account.
        password: for calls of the registry; nothing else stores it.
        csrf: token in each form of this session.
        started, last_used, checked: times of the log-in, of the last request and of the registry's last confirmation,
            in the clock's seconds.
        notices: sentences for the next page.
        snapshot: state of the registry behind the last page, for the images in it.
        check_lock: lets one of a page's parallel requests confirm the credentials.
    """

    name: str
    role: str
    password: str = field(repr=False)
    started: float
    last_used: float
    checked: float
    rights: str = ""
    csrf: str = field(default_factory=secrets.token_urlsafe, repr=False)
    notices: list[str] = field(default_factory=list)
    snapshot: Any = field(default=None, repr=False)
    check_lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def can_decide(self) -> bool:
        """Whether the role may approve, reject and roll back."""
        return self.role in DECIDERS

    def take_notices(self) -> list[str]:
        """Return the notices and clear them, so that one page shows them."""
        notices, self.notices = self.notices, []
        return notices


class Sessions:
    """Sessions by token.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._by_token: dict[str, Session] = {}
        self._lock = threading.Lock()

    def begin(self, name: str, role: str, password: str, rights: str = "") -> str:
        """Start a session and return its token."""
        now, token = self._clock(), secrets.token_urlsafe(32)
        with self._lock:
            self._drop_ended(now)
            own = [token for token, session in self._by_token.items() if session.name == name]
            if len(own) >= MAX_SESSIONS_EACH:  # nobody ends the sessions of others by many log-ins
                self._drop_longest_idle(own)
            elif len(self._by_token) >= MAX_SESSIONS:
                self._drop_longest_idle(self._by_token)
            session = Session(name, role, password, started=now, last_used=now, checked=now, rights=rights)
            self._by_token[token] = session
        return token

    def get(self, token: str | None) -> Session | None:
        """The session of a token, marked as used now, or None where it has ended or never existed."""
        now = self._clock()
        with self._lock:
            self._drop_ended(now)
            session = self._by_token.get(token or "")
            if session is not None:
                session.last_used = now
            return session

    def needs_check(self, session: Session) -> bool:
        """Whether the registry's last confirmation of the credentials is ``CHECK_INTERVAL`` seconds old."""
        return self._clock() - session.checked >= CHECK_INTERVAL

    def confirm(self, session: Session, role: str, rights: str, since: float) -> None:
        """Note that the registry confirmed the credentials.

        Args:
            session: of the credentials.
            role, rights: of the account.
            since: when the registry was asked, in the clock's seconds.
        """
        session.role, session.rights, session.checked = role, rights, since

    def end(self, token: str | None) -> None:
        """Delete a session with its password."""
        with self._lock:
            self._by_token.pop(token or "", None)

    def _drop_longest_idle(self, tokens: Iterable[str]) -> None:
        del self._by_token[min(tokens, key=lambda token: self._by_token[token].last_used)]

    def _drop_ended(self, now: float) -> None:
        self._by_token = {
            token: session
            for token, session in self._by_token.items()
            if now - session.last_used < IDLE_SECONDS and now - session.started < MAX_SECONDS
        }
