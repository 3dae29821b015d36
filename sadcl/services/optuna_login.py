"""Log-in for Optuna's dashboard: accounts of the registry may read, and all but readers may write.

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

from sadcl.accounts import users
from sadcl.accounts.host import READER
from sadcl.accounts.throttle import LoginThrottle
from sadcl.errors import SadclError
from sadcl.services.browser_protection import WsgiProtection

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

READ_METHODS = {"GET", "HEAD"}
CACHE_SECONDS = 60
"""Seconds for which a checked log-in stays valid, as in MLflow's server."""

Check = Callable[[str, str], users.Account | None]


def create_app() -> "WSGIApplication":
    """Create the dashboard of the current folder's studies.

    Raises:
        SadclError: the storage of the studies can't be opened.
    """
    from optuna_dashboard import wsgi

    from sadcl.tuning import storage

    with storage.silence_warnings():
        return WsgiProtection(LoginGate(wsgi(storage.open_storage()), users.check_login))


def create_open_app() -> "WSGIApplication":
    """Create the dashboard of the current folder's studies for one person, without log-in.

    Raises:
        SadclError: the storage of the studies can't be opened.
    """
    from optuna_dashboard import wsgi

    from sadcl.tuning import storage

    with storage.silence_warnings():
        return WsgiProtection(wsgi(storage.open_storage()))


class LoginGate:
    """WSGI middleware that adds HTTP basic authentication and roles to an application.

    Args:
        app: the protected application.
        check: returns the account of a name and password, or None.
        clock: monotonic seconds.
    """

    def __init__(self, app: "WSGIApplication", check: Check, clock: Callable[[], float] = time.monotonic) -> None:
        self._app, self._check, self._clock = app, check, clock
        self._throttle, self._lock = LoginThrottle(clock), threading.Lock()
        self._key, self._cache = secrets.token_bytes(32), dict[bytes, tuple[users.Account, float]]()

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Forward the request, or refuse it."""
        try:
            self._admit(Request(environ))
        except HTTPException as refusal:
            return refusal(environ, start_response)
        return self._app(environ, start_response)

    def _admit(self, request: Request) -> None:
        host, login, origin = request.host, request.authorization, request.headers.get("Origin")
        person = self._person(login.username, login.password, request.remote_addr or "") if login else None
        if person is None:
            raise Unauthorized(www_authenticate=WWWAuthenticate("basic", {"realm": "sadcl", "charset": "UTF-8"}))
        if request.method in READ_METHODS:
            return
        # basic authentication is sent by the browser along with any page's request
        if origin not in (None, f"http://{host}", f"https://{host}"):
            raise Forbidden("The request came from another site.")
        if person.role == READER:
            raise Forbidden("Your role is reader. Readers can't change studies.")

    def _person(self, name: str | None, password: str | None, address: str) -> users.Account | None:
        if not name or not password or "\0" in name + password:  # with an empty one, MLflow takes its own credentials
            return None
        # the cache holds no password, and its keys mean nothing after a restart
        digest = hmac.digest(self._key, f"{name}:{password}".encode(), "sha256")
        person = self._cached_person(digest)
        if person is not None:
            return person
        with self._lock:  # of a page's parallel requests, only the first asks the registry
            return self._cached_person(digest) or self._check_with_registry(digest, name, password, address)

    def _cached_person(self, digest: bytes) -> users.Account | None:
        person, until = self._cache.get(digest, (None, 0.0))
        return person if self._clock() < until else None

    def _check_with_registry(self, digest: bytes, name: str, password: str, address: str) -> users.Account | None:
        wait = self._throttle.begin(name, address, password)
        if wait:
            raise TooManyRequests(f"Too many attempts. Wait {wait} s, then try again.", retry_after=wait)
        try:
            person = self._check(name, password)
        except SadclError as error:
            # a registry that is away says nothing about the password: no failed attempt is counted
            self._throttle.undecided(name, address, password)
            raise ServiceUnavailable(str(error)) from None
        if person is not None:
            self._throttle.succeeded(name, address, password)
            now = self._clock()
            self._cache = {key: entry for key, entry in self._cache.items() if now < entry[1]}
            self._cache[digest] = person, now + CACHE_SECONDS
        else:
            self._throttle.failed(name, address, password)
        return person
