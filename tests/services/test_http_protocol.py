"""Requests that do not arrive are given up; those that arrive slowly but steadily are not."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from sadcl.services import HOST, free_port, http_protocol
from sadcl.services.supervisor import wait

HEAD = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 8\r\n\r\n"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Application that answers a request with its body."""
    await PlainTextResponse(await Request(scope, receive).body())(scope, receive, send)


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Port of a server with short timeouts."""
    monkeypatch.setattr(http_protocol, "HEAD_TIMEOUT", 0.6)
    monkeypatch.setattr(http_protocol, "BODY_TIMEOUT", 0.6)
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        config = uvicorn.Config(echo, http=http_protocol.TimedProtocol, lifespan="off", log_config=None)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join()


def is_closed(connection: socket.socket) -> bool:
    """Whether the server closes the connection; it waits until it does."""
    connection.settimeout(30)
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n", HEAD, HEAD + b"1234"])
def test_a_request_that_stays_incomplete_is_closed(port: int, sent: bytes) -> None:
    with socket.create_connection((HOST, port)) as connection:
        connection.sendall(sent)
        assert is_closed(connection)


def test_a_head_that_comes_byte_by_byte_is_closed(port: int) -> None:
    with socket.create_connection((HOST, port)) as connection:
        for _ in range(600):
            try:
                connection.sendall(b"x")
            except OSError:
                return
            time.sleep(0.05)
    pytest.fail("The connection is still open")


def test_a_body_that_comes_slowly_arrives(port: int) -> None:
    with socket.create_connection((HOST, port)) as connection:
        connection.settimeout(30)
        connection.sendall(HEAD)
        for letter in b"abcdefgh":
            time.sleep(0.2)
            connection.sendall(bytes([letter]))
        answer = b""
        while not answer.endswith(b"abcdefgh"):
            answer += connection.recv(1000)
        assert answer.startswith(b"HTTP/1.1 200")


def test_uvicorns_command_takes_the_protocol_from_the_environment(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "from uvicorn.protocols.http import h11_impl\n"
        "async def app(scope, receive, send):\n"
        "    import gc\n"
        "    names = {type(o).__name__ for o in gc.get_objects() if isinstance(o, h11_impl.H11Protocol)}\n"
        "    await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
        "    await send({'type': 'http.response.body', 'body': repr(names).encode()})\n"
    )
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "--lifespan", "off", "--port", str(port), "app:app"]
    server = subprocess.Popen(command, cwd=tmp_path, env={**os.environ, **http_protocol.PROTOCOL})
    try:
        wait(server, "app", port)
        with socket.create_connection((HOST, port)) as connection:
            connection.settimeout(30)
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert b"TimedProtocol" in b"".join(iter(lambda: connection.recv(1000), b""))
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait()
