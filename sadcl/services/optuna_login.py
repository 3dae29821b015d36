"""Optuna's dashboard for a team: who has an account in the registry may look, and readers may do no more.

``gunicorn "sadcl.services.optuna_login:create_app()"``, with the registry's address in the environment.
"""

import hmac
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Forbidden, HTTPException, ServiceUnavailable, TooManyRequests, Unauthorized
from werkzeug.wrappers import Request

from sadcl.accounts import host as team
from sadcl.accounts import users
from sadcl.accounts.throttle import LoginThrottle
from sadcl.errors import SadclError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

LOOPBACK = ["127.0.0.1", "localhost"]
LOOKING = {"GET", "HEAD"}
TRUSTED = 60
"""Seconds for which a log-in is not asked for again, as in MLflow's server."""

Check = Callable[[str, str], users.Person | None]


def create_app() -> "WSGIApplication":
    """The dashboard of the present folder's studies.

    Raises:
        SadclError: their storage can't be used.
    """
    from optuna_dashboard import wsgi

    from sadcl.tuning import storage

    with storage.quiet():
        return LoginGate(wsgi(storage.open_storage()), users.check)


class LoginGate:
    """WSGI: the log-in before an app that has none.

    Args:
        app: what lies behind it.
        check: who logs in so; None where nobody does.
        clock: seconds that never go back.
    """

    def __init__(self, app: "WSGIApplication", check: Check, clock: Callable[[], float] = time.monotonic) -> None:
        self._app, self._check, self._clock = app, check, clock
        self._attempts, self._asking = LoginThrottle(clock), threading.Lock()
        self._key, self._known = secrets.token_bytes(32), dict[bytes, tuple[users.Person, float]]()

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Refuse, or hand on."""
        request = Request(environ)
        request.trusted_hosts = LOOPBACK
        try:
            self._admit(request)
        except HTTPException as refusal:
            return refusal(environ, start_response)
        return self._app(environ, start_response)

    def _admit(self, request: Request) -> None:
        host, login, origin = request.host, request.authorization, request.headers.get("Origin")
        person = self._person(login.username, login.password, request.remote_addr or "") if login else None
        if person is None:
            raise Unauthorized(www_authenticate=WWWAuthenticate("basic", {"realm": "sadcl", "charset": "UTF-8"}))
        if request.method in LOOKING:
            return
        if origin not in (None, f"http://{host}", f"https://{host}"):
            raise Forbidden("Another site sent this.")
        if person.role == team.READER:
            raise Forbidden("Readers look at studies, and change none.")

    def _person(self, name: str | None, password: str | None, address: str) -> users.Person | None:
        if not name or not password or "\0" in name + password:  # MLflow would take its own where one is empty
            return None
        digest = hmac.digest(self._key, f"{name}:{password}".encode(), "sha256")
        person = self._remembered(digest)
        if person is not None:
            return person
        with self._asking:  # a page sends many requests at a time: the first asks, and the others know
            return self._remembered(digest) or self._asked(digest, name, password, address)

    def _remembered(self, digest: bytes) -> users.Person | None:
        person, until = self._known.get(digest, (None, 0.0))
        return person if self._clock() < until else None

    def _asked(self, digest: bytes, name: str, password: str, address: str) -> users.Person | None:
        wait = self._attempts.begin(name, address, password)
        if wait:
            raise TooManyRequests(f"Too many attempts. Wait {wait} s, then try again.", retry_after=wait)
        try:
            person = self._check(name, password)
        except SadclError as error:
            self._attempts.undecided(name, address, password)
            raise ServiceUnavailable(str(error)) from None
        if person is not None:
            self._attempts.succeeded(name, address, password)
            now = self._clock()
            self._known = {one: known for one, known in self._known.items() if now < known[1]}
            self._known[digest] = person, now + TRUSTED
        else:
            self._attempts.failed(name, address, password)
        return person
