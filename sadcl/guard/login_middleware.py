"""Before MLflow looks at a request: pages of elsewhere stay outside, and passwords are not guessed at leisure."""

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

READING = {"GET", "HEAD", "OPTIONS"}
CLOSED = re.compile(r"/(ajax-)?api/[^/]+/(mlflow/)?(assistant|jobs|mcp-servers|gateway)|/gateway|/v1/")
"""What MLflow answers outside Flask, to anybody with an account; its assistant runs commands for them."""
KNOWN = "x-sadcl-known"


class LoginMiddleware:
    """ASGI middleware around everything."""

    def __init__(self, app: ASGIApp) -> None:
        self.app, self.attempts = app, LoginThrottle(time.monotonic)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401, 403 or 429, or hand on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin, header = headers.get("origin"), headers.get("authorization")
        said = _login(header or "")
        if CLOSED.match(scope["path"]):
            await mlflow_internals.answer(Refused("This server has no such service"))(scope, receive, send)
        elif scope["method"] not in READING and origin is not None and urlsplit(origin).netloc != headers.get("host"):
            await PlainTextResponse("A page of another address sent this", 403)(scope, receive, send)
        elif header is None or (said is not None and self.attempts.failed_before(*said)):
            await self.app(scope, receive, send)  # a client with an old password guesses nothing, and shuts out nobody
        elif said is None:
            await PlainTextResponse("This is no log-in by name and password", 401)(scope, receive, send)
        else:
            await self._as(*said, scope, receive, send)

    async def _as(self, name: str, password: str, scope: Scope, receive: Receive, send: Send) -> None:
        who = (name, (scope.get("client") or ("",))[0], password)
        wait = self.attempts.begin(*who)
        if wait:
            told = PlainTextResponse(f"Too many attempts. Wait {wait} s.", 429, {"retry-after": str(wait)})
            await told(scope, receive, send)
            return
        counted = False

        async def sending(message: Message) -> None:
            nonlocal counted
            if message["type"] == "http.response.start":
                counted = True
                headers = MutableHeaders(scope=message)
                known = KNOWN in headers or "username" in scope.get("state", {})
                del headers[KNOWN]
                self._count(who, message["status"], known)
            await send(message)

        try:
            await self.app(scope, receive, sending)
        finally:
            if not counted:
                self.attempts.undecided(*who)

    def _count(self, who: tuple[str, str, str], status: int, known: bool) -> None:
        """Much is answered without a look at the log-in, so that an answer alone says nothing about it."""
        if known:
            self.attempts.succeeded(*who)
        elif status == 401:
            self.attempts.failed(*who)
        else:
            self.attempts.undecided(*who)


def _login(header: str) -> tuple[str, str] | None:
    """Name and password of a request, read as MLflow does; None where they can't be."""
    try:
        scheme, value = header.split()
        name, _, password = base64.b64decode(value).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    return (name, password) if scheme.lower() == "basic" else None


def tell_known(app: Flask) -> None:
    """Flask's answers carry, as far as the entrance, whether MLflow knew who asked."""

    def told(answer: Response) -> Response:
        if g.get("mlflow_authenticated_user"):
            answer.headers[KNOWN] = "1"
        return answer

    app.after_request(told)
