"""HTTP server on loopback that misbehaves on demand, and a small data set that it serves."""

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from sadcl.data.download.datasets import DataSet, Original
from sadcl.data.download.http import RetryPolicy
from tests.data.download.test_archives import zipped

QUICK = RetryPolicy(stall=0.5, attempts=4, pause=0.0)
BODY = os.urandom(300_000)
INSIDE = {"train/1.jpg": BODY, "notes.txt": b"not needed"}
UNPACKED = {"train/1.jpg": BODY}


@dataclass
class Files:
    """Files of a server, its behaviour at each request in turn (correct after the last), and a log of requests.

    ``cut`` ends the response in the middle, ``stall`` stops sending there, ``corrupt`` changes a byte, ``long`` and
    ``short`` announce a longer or shorter file, ``deaf`` supports no ranges, ``elsewhere`` sends another
    range than requested, ``changed`` has another file from now on, a number is a status. ``lengths`` are
    sizes that it announces on HEAD, where they are wrong.
    """

    files: dict[str, bytes]
    manners: list[Any] = field(default_factory=list)
    etag: bool = True
    lengths: dict[str, int] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)
    url: str = ""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    has: Files

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        name = self.path.lstrip("/")
        length = self.has.lengths.get(name, len(self.has.files.get(name, b"")))
        self.send_response(200 if name in self.has.files else 404)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def do_GET(self) -> None:
        manner = self.has.manners.pop(0) if self.has.manners else ""
        requested_range = self.headers.get("Range", "")
        self.has.requests.append((self.path, requested_range))
        self.close_connection = True
        name = self.path.lstrip("/")
        if isinstance(manner, int) or name not in self.has.files:
            self.send_response(manner or 404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if manner == "changed":
            self.has.files[name] = bytes(reversed(self.has.files[name]))
        data = self.has.files[name]
        etag = f'"{hashlib.md5(data).hexdigest()}"'
        start = int(requested_range.removeprefix("bytes=").rstrip("-")) if requested_range else 0
        if manner == "deaf" or self.headers.get("If-Range", etag) != etag:
            start = 0
        ranged = requested_range and (start or manner == "elsewhere")
        if ranged and start >= len(data):
            self.send_response(416)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start -= start // 2 if manner == "elsewhere" else 0
        body = data[start:]
        announced = len(body) + {"long": 1000, "short": -1000}.get(manner, 0)
        self.send_response(206 if ranged else 200)
        self.send_header("Content-Length", str(announced))
        if ranged:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        if self.has.etag:
            self.send_header("ETag", etag)
        self.end_headers()
        if manner == "corrupt":
            body = body[:1000] + bytes([body[1000] ^ 1]) + body[1001:]
        self.wfile.write(body[: len(body) // 2 if manner in ("cut", "stall") else announced])
        if manner == "stall":
            self.wfile.flush()
            self.has.closing.wait(30)


@contextmanager
def serving(folder: Path) -> Iterator[Files]:
    """Run the server; its archive is also written to ``folder``."""
    archive = zipped(folder / "photos.zip", INSIDE).read_bytes()
    has = Files({"photos.zip": archive, "list.txt": b"train/1.jpg\n"})
    handler = type("Bound", (Handler,), {"has": has})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        has.url = f"http://127.0.0.1:{running.server_address[1]}"
        thread = threading.Thread(target=running.serve_forever, args=(0.05,))
        thread.start()
        yield has
        has.closing.set()
        running.shutdown()
        thread.join()


def toy(server: Files, *, known: bool = True, **fields: Any) -> DataSet:
    data = server.files["photos.zip"]
    facts = {"size": len(data), "checksum": f"sha256:{hashlib.sha256(data).hexdigest()}", "known_from": "its makers"}
    return DataSet(
        "toy",
        (
            Original(
                "photos.zip", f"{server.url}/photos.zip", keep=("*.jpg",), **{**(facts if known else {}), **fields}
            ),
        ),
    )


def present(project: Path) -> list[str]:
    raw = project / "data/raw"
    return sorted(path.name for path in raw.glob("*")) if raw.exists() else []
