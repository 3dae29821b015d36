"""Worker of gunicorn that gives up requests that do not arrive: each would keep one of its few threads."""

import socket
import struct
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

TIMEOUT = 10
"""Seconds without a byte of a request."""


class TimedWorker(ThreadWorker):  # type: ignore[misc]
    """Threaded worker with a limit on the time between two parts of a request."""

    def handle(self, conn: Any) -> Any:
        """Handle a request."""
        # in the kernel: the worker switches the socket's own timeout off before it reads
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", TIMEOUT, 0))
        return super().handle(conn)
