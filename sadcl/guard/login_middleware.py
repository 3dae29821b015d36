"""Middleware before MLflow: refuses requests of other sites' pages and slows down password guessing."""

import base64
import binascii
import re
import time
from urllib.parse import urlsplit

from flask import Flask, Response, g
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sadcl.accounts.throttle import LoginThrottle
from sadcl.guard import mlflow_internals
from sadcl.guard.mlflow_internals import Refused

SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
CLOSED_ROUTES = re.compile(r"/(ajax-)?api/[^/]+/(mlflow/)?(assistant|jobs|mcp-servers|gateway)|/gateway|/v1/")
"""Routes that MLflow answers outside Flask to every account; its assistant runs commands on the server."""
AUTHENTICATED = "x-sadcl-known"
"""Header from Flask to this middleware, which removes it: MLflow knows the account."""


class LoginMiddleware:
    """ASGI middleware around the whole app."""

    def __init__(self, app: ASGIApp) -> None:
        self.app, self.throttle = app, LoginThrottle(time.monotonic)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401, 403 or 429, or pass the request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin, header = headers.get("origin"), headers.get("authorization")
        login = _parse_login(header or "")
        # Closed to administrators as well: the rights of MLflow do not cover these routes.
        if CLOSED_ROUTES.match(scope["path"]):
            await mlflow_internals.error_response(Refused("This server has closed this service"))(scope, receive, send)
        # Browsers add the log-in to requests of any page (CSRF), but they also name the page's origin.
        elif (
            scope["method"] not in SAFE_METHODS
            and origin is not None
            and urlsplit(origin).netloc != headers.get("host")
        ):
            await PlainTextResponse("A page of another site sent this request", 403)(scope, receive, send)
        # A client that repeats an old password guesses nothing; counting it would shut its owner out.
        elif header is None or (login is not None and self.throttle.failed_before(*login)):
            await self.app(scope, receive, send)
        elif login is None:
            await PlainTextResponse("Log in by name and password (HTTP Basic)", 401)(scope, receive, send)
        else:
            await self._throttled(*login, scope, receive, send)

    async def _throttled(self, name: str, password: str, scope: Scope, receive: Receive, send: Send) -> None:
        # A Unix socket has no client address.
        credentials = (name, (scope.get("client") or ("",))[0], password)
        wait = self.throttle.begin(*credentials)
        if wait:
            response = PlainTextResponse(f"Too many attempts. Wait {wait} s.", 429, {"retry-after": str(wait)})
            await response(scope, receive, send)
            return
        counted = False

        async def send_and_count(message: Message) -> None:
            nonlocal counted
            if message["type"] == "http.response.start":
                counted = True
                headers = MutableHeaders(scope=message)
                # Flask reports by the header, MLflow's routes outside Flask by the scope.
                authenticated = AUTHENTICATED in headers or "username" in scope.get("state", {})
                del headers[AUTHENTICATED]
                self._record_result(credentials, message["status"], authenticated)
            await send(message)

        try:
            await self.app(scope, receive, send_and_count)
        finally:
            if not counted:  # the client hung up or the app failed: the password may have been right
                self.throttle.undecided(*credentials)

    def _record_result(self, credentials: tuple[str, str, str], status: int, authenticated: bool) -> None:
        """Count an attempt by its result.

        MLflow answers some routes without checking the log-in, so a response that is no 401 does not prove it.
        """
        if authenticated:
            self.throttle.succeeded(*credentials)
        elif status == 401:
            self.throttle.failed(*credentials)
        else:
            self.throttle.undecided(*credentials)


def _parse_login(header: str) -> tuple[str, str] | None:
    """Name and password of a request, parsed as MLflow does: else a spelling that only it accepts would not count."""
    try:
        scheme, value = header.split()
        name, _, password = base64.b64decode(value).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    return (name, password) if scheme.lower() == "basic" else None


def mark_authenticated(app: Flask) -> None:
    """Mark Flask's responses to authenticated requests for the middleware."""

    def mark(response: Response) -> Response:
        if g.get("mlflow_authenticated_user"):
            response.headers[AUTHENTICATED] = "1"
        return response

    app.after_request(mark)
