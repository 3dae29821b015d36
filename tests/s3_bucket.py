"""A server that speaks S3 (moto) on loopback, and fixtures for a bucket on it."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest

from sadcl import s3
from tests.lying_proxy import LyingProxy

KEYS = {"AWS_ACCESS_KEY_ID": "anybody", "AWS_SECRET_ACCESS_KEY": "anything", "AWS_DEFAULT_REGION": "us-east-1"}


@contextmanager
def s3_server(folder: Path) -> Iterator[str]:
    """Run a server in a folder; its address."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    server = subprocess.Popen(
        command, cwd=folder, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONWARNINGS": "ignore", "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert server.stderr is not None
    reader = threading.Thread(target=server.stderr.read)  # so that its log never fills the pipe
    with server.stderr:
        try:
            matches = (re.search(r"Running on (http://\S+)", line) for line in server.stderr)
            address = next(match[1] for match in matches if match)
            reader.start()
            yield address
        finally:
            server.terminate()
            server.wait(30)
            if reader.is_alive():
                reader.join()


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server that speaks S3."""
    with s3_server(tmp_path_factory.mktemp("moto")) as address:
        yield address


@pytest.fixture
def bucket(moto: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[LyingProxy]:
    """An empty bucket ``photos``, reached through a proxy that lies."""
    proxy = LyingProxy(moto)
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": proxy.address}.items():
        monkeypatch.setenv(name, value)
    s3._client.cache_clear()
    httpx.post(f"{moto}/moto-api/reset", timeout=30).raise_for_status()
    client(moto).create_bucket(Bucket="photos")
    yield proxy
    proxy.shutdown()
    proxy.server_close()
    s3._client.cache_clear()


def client(moto: str) -> Any:
    """A client that the proxy does not deceive."""
    return boto3.session.Session().client("s3", endpoint_url=moto)
