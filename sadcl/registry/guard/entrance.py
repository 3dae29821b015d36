"""Before MLflow looks at a request: pages of elsewhere stay outside, and passwords are not guessed at leisure."""

import base64
import binascii
import hmac
import secrets
import time
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sadcl.registry.attempts import Attempts

READING = {"GET", "HEAD", "OPTIONS"}
MOST = 10_000
"""Log-ins that failed and are remembered."""


class Entrance:
    """ASGI middleware around everything."""

    def __init__(self, app: ASGIApp) -> None:
        self.app, self.attempts = app, Attempts(time.monotonic)
        self.key, self.wrong = secrets.token_bytes(32), dict[bytes, None]()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403 or 429, or hand on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if scope["method"] not in READING and origin is not None and urlsplit(origin).netloc != headers.get("host"):
            await PlainTextResponse("A page of another address sent this", 403)(scope, receive, send)
            return
        said = _login(headers.get("authorization", ""))
        if said is None:
            await self.app(scope, receive, send)
        elif self._digest(*said) in self.wrong:
            await self.app(scope, receive, send)  # a client with an old password guesses nothing, and shuts out nobody
        else:
            await self._as(*said, scope, receive, send)

    async def _as(self, name: str, password: str, scope: Scope, receive: Receive, send: Send) -> None:
        who = (name, (scope.get("client") or ("",))[0], password)
        wait = self.attempts.begin(*who)
        if wait:
            told = PlainTextResponse(f"Too many attempts. Wait {wait} s.", 429, {"retry-after": str(wait)})
            await told(scope, receive, send)
            return
        status = 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._count(who, status)
            await send(message)

        try:
            await self.app(scope, receive, sending)
        except BaseException:
            if status == 500:
                self._count(who, status)
            raise

    def _count(self, who: tuple[str, str, str], status: int) -> None:
        if status >= 500:
            self.attempts.undecided(*who)
        elif status == 401:
            self.attempts.failed(*who)
            self._remember(self._digest(who[0], who[2]))
        else:
            self.attempts.succeeded(*who)

    def _digest(self, name: str, password: str) -> bytes:
        return hmac.digest(self.key, ascii((name, password)).encode(), "sha256")

    def _remember(self, wrong: bytes) -> None:
        self.wrong[wrong] = None
        if len(self.wrong) > MOST:
            del self.wrong[next(iter(self.wrong))]


def _login(header: str) -> tuple[str, str] | None:
    """Name and password of a request; None where it has none that MLflow would read."""
    scheme, _, value = header.strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, _, password = base64.b64decode(value.strip()).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    return name, password
