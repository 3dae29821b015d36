"""HTTP protocol of uvicorn that closes connections whose request does not arrive.

uvicorn waits for the rest of a request as long as its client likes.
"""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

PROTOCOL = {"UVICORN_HTTP": f"{__name__}:TimedProtocol"}
"""Environment in which uvicorn's command takes this protocol."""
HEAD_TIMEOUT = 10.0
"""Seconds until the head of a request has to be complete."""
BODY_TIMEOUT = 20.0
"""Seconds without a byte of a request's body."""


class TimedProtocol(H11Protocol):
    """HTTP/1.1 with a limit on the time in which a request arrives."""

    _timer: asyncio.TimerHandle | None = None
    _in_head = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Take data, and begin to wait for what is still missing of the request."""
        super().data_received(data)
        if self.transport.get_protocol() is not self:  # a websocket, which has timeouts of its own
            self._stop()
        elif self.conn.their_state is h11.IDLE:
            self._wait_for_head()
        elif self.conn.their_state is h11.SEND_BODY:
            self._start(BODY_TIMEOUT)
        else:
            self._stop()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop()
        super().connection_lost(exc)

    def _wait_for_head(self) -> None:
        if self._timer is None or not self._in_head:  # a client that sends byte after byte gets no more time
            self._start(HEAD_TIMEOUT)
            self._in_head = True

    def _start(self, seconds: float) -> None:
        self._stop()
        self._timer = self.loop.call_later(seconds, self._expire, seconds)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._in_head = None, False

    def _expire(self, seconds: float) -> None:
        if self.flow.read_paused:  # the application reads no faster: the client may not send
            self._start(seconds)
        else:
            self._stop()
            self.transport.close()
