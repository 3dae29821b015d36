"""The command ``python -m flows.verify --serve`` where the Prefect server refuses."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.paths import REPOSITORY

NOBODY = "http://127.0.0.1:9/api"
"""Address at which no server listens."""


class Refusing(BaseHTTPRequestHandler):
    """Answers every request with the same status of an error."""

    status = 401

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(self.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *words: object) -> None:
        pass


@contextmanager
def refusing(status: int) -> Iterator[str]:
    """Yield the address of a server that answers with a status only."""
    handler = type("Handler", (Refusing,), {"status": status})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()


def serve(project: Path, address: str) -> "subprocess.CompletedProcess[str]":
    own = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return subprocess.run(
        [sys.executable, "-m", "flows.verify", "--serve"], cwd=project, capture_output=True, text=True, check=False,
        env={**own, "PREFECT_API_URL": address, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("status", "problem"),
    [(None, "can't be reached"), (401, "rejected the login"), (500, "answered with status 500")],
)
def test_a_server_that_is_away_or_refuses_is_a_sentence(project: Path, status: int | None, problem: str) -> None:
    with refusing(status) if status else nullcontext(NOBODY) as address:
        completed = serve(project, address)
    assert completed.returncode == 2
    assert f"verify: failed: The Prefect server {problem} ({address})." in completed.stderr
    assert "Traceback" not in completed.stderr
