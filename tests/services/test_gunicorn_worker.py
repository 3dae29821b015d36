"""Requests that do not arrive keep no thread of the dashboard's server."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sadcl.services import HOST, free_port
from sadcl.services.supervisor import wait
from tests.paths import REPOSITORY
from tests.services.test_http_protocol import is_closed

APP = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["wsgi.input"].read(8)]
"""


@pytest.mark.parametrize("sent", [b"GET / HT", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\n1234"])
def test_a_request_that_stays_incomplete_is_closed(sent: bytes, tmp_path: Path) -> None:
    (tmp_path / "waits.py").write_text(APP)
    (tmp_path / "conf.py").write_text("from sadcl.services import gunicorn_worker\ngunicorn_worker.TIMEOUT = 1\n")
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "-c", "conf.py", "--bind", f"{HOST}:{port}", "--threads", "1",
         "--worker-class", "sadcl.services.gunicorn_worker.TimedWorker", "--no-control-socket", "waits:app"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": f"{REPOSITORY}"}, start_new_session=True,
    )  # fmt: skip
    try:
        wait(server, "app", port)
        with socket.create_connection((HOST, port)) as connection:
            connection.sendall(sent)
            while not is_closed(connection):
                pass
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
