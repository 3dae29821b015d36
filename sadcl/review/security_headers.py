"""What each answer tells the browser about safety."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = "; ".join([
    "default-src 'none'", "style-src 'self'", "img-src 'self'", "form-action 'self'", "base-uri 'none'",
    "frame-ancestors 'none'",
])  # fmt: skip
"""No script at all, nothing written into the page, nothing from elsewhere, no frame around it."""

HEADERS = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
ALWAYS = {**HEADERS, "cache-control": "no-store"}
"""Of answers with data: no cache keeps them."""
OPEN = ("/static/",)
"""What the browser may keep: nobody's data."""


class Headers:
    """ASGI middleware that adds ``HEADERS`` to every answer, with ``no-store`` where there is data."""

    def __init__(self, app: "ASGIApp") -> None:
        self.app = app

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Pass everything on."""
        added = HEADERS if str(scope.get("path", "")).startswith(OPEN) else ALWAYS

        async def sending(message: "Message") -> None:
            if message["type"] == "http.response.start":
                given: list[Any] = [
                    pair for pair in message.get("headers", []) if pair[0].decode().lower() not in added
                ]
                more = [(name.encode(), value.encode()) for name, value in added.items()]
                message = {**message, "headers": [*given, *more]}
            await send(message)

        await self.app(scope, receive, sending)
