"""A proxy in front of a server of S3 that refuses, cuts, delays and lies about lengths."""

import http.client
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

REFUSE, CUT, LONGER, ALWAYS, RESET, STALL = "refuse", "cut", "longer", "always", "reset", "stall"


class LyingProxy(ThreadingHTTPServer):
    """Passes requests on; the first answers for an object depend on its name.

    An object whose name contains ``refuse`` gets 503 twice, ``cut`` half of its body once, ``longer`` an honest length
    but for one byte too many, once, ``reset`` no answer once, ``always`` 503 for ever, ``stall`` half of its body and
    then nothing until the proxy closes.

    Args:
        address: of the server.
    """

    daemon_threads = True

    def __init__(self, address: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = urlsplit(address).netloc
        self.reads = Counter[str]()
        self.before: dict[str, Any] = {}
        """Functions that are called before the first read of an object whose path ends so."""
        self.closing = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def server_close(self) -> None:
        """Let stalled answers end, and release the port."""
        self.closing.set()
        super().server_close()

    def fault(self, path: str) -> str:
        """The fault of this read of an object; empty for none."""
        self.reads[path] += 1
        for end in [end for end in self.before if path.endswith(end)]:
            self.before.pop(end)()
        times = {REFUSE: 2, CUT: 1, LONGER: 1, RESET: 1, ALWAYS: 10**9, STALL: 10**9}
        return next((kind for kind, most in times.items() if kind in path and self.reads[path] <= most), "")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: LyingProxy

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        fault = self.server.fault(path) if path.count("/") > 1 and path.endswith((".jpg", ".arrow")) else ""
        if fault in (REFUSE, ALWAYS):
            self.answer(503, {}, b"<Error><Code>SlowDown</Code><Message>Reduce your request rate</Message></Error>")
        elif fault == RESET:
            self.close_connection = True
        else:
            status, headers, body = self.ask()
            length = len(body) + (fault == LONGER)
            self.answer(status, headers, body[: len(body) // 2] if fault in (CUT, STALL) else body, length)
            if fault == STALL:
                self.server.closing.wait()

    def do_HEAD(self) -> None:
        status, headers, _ = self.ask()
        self.answer(status, headers, b"", int(headers.get("Content-Length", 0)))

    def do_PUT(self) -> None:
        self.answer(*self.ask())

    def ask(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the server's answer."""
        length = int(self.headers.get("Content-Length", 0))
        connection = http.client.HTTPConnection(self.server.target, timeout=60)
        connection.request(self.command, self.path, self.rfile.read(length), dict(self.headers.items()))
        answer = connection.getresponse()
        body, headers = answer.read(), dict(answer.getheaders())
        connection.close()
        return answer.status, headers, body

    def answer(self, status: int, headers: dict[str, str], body: bytes, length: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "connection", "transfer-encoding", "date", "server"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)
        if length not in (None, len(body)) and self.command != "HEAD":
            self.close_connection = True

    def log_message(self, *arguments: Any) -> None:
        pass
