"""Security headers of every response, as ASGI middleware."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = "; ".join([
    "default-src 'none'", "style-src 'self'", "img-src 'self'", "form-action 'self'", "base-uri 'none'",
    "frame-ancestors 'none'",
])  # fmt: skip
"""Forbids scripts, inline styles, resources of other sites, and framing."""

HEADERS = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
NO_STORE_HEADERS = {**HEADERS, "cache-control": "no-store"}
"""For responses with data: no cache may store them."""
CACHEABLE_PATHS = ("/static/",)
"""Paths without data, which browsers may cache."""


class SecurityHeaders:
    """ASGI middleware that adds ``HEADERS`` to every response, and ``no-store`` to those with data."""

    def __init__(self, app: "ASGIApp") -> None:
        self.app = app

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Forward the request, and replace headers of the response."""
        added = HEADERS if str(scope.get("path", "")).startswith(CACHEABLE_PATHS) else NO_STORE_HEADERS

        async def send_with_headers(message: "Message") -> None:
            if message["type"] == "http.response.start":
                pairs: list[Any] = message.get("headers", [])
                others = [pair for pair in pairs if pair[0].decode().lower() not in added]
                message = {
                    **message,
                    "headers": [*others, *((name.encode(), value.encode()) for name, value in added.items())],
                }
            await send(message)

        await self.app(scope, receive, send_with_headers)
