"""Protection of pages in a browser: they answer to loopback's names alone, and no other page frames them."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders
from werkzeug.datastructures import Headers
from werkzeug.exceptions import SecurityError
from werkzeug.sansio.utils import host_is_trusted

from sadcl.registry.client import LOOPBACK

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


class AsgiHeaders:
    """ASGI middleware that adds ``HEADERS`` to each response."""

    def __init__(self, app: "ASGIApp") -> None:
        self.app = app

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Pass the request on."""

        async def send_with_headers(message: "Message") -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self.app(scope, receive, send_with_headers)


class WsgiProtection:
    """WSGI middleware that refuses foreign Hosts, and adds ``HEADERS`` to each response."""

    def __init__(self, app: "WSGIApplication") -> None:
        self.app = app

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Pass the request on, or answer 400."""

        def start_with_headers(status: str, headers: list[tuple[str, str]], *error: object) -> object:
            replaced = Headers(headers)
            replaced.update(HEADERS)
            return start_response(status, list(replaced), *error)  # type: ignore[arg-type]

        app = self.app if host_is_trusted(environ.get("HTTP_HOST"), LOOPBACK) else SecurityError()
        return app(environ, start_with_headers)  # type: ignore[arg-type]
