"""Fixtures for a bucket on a server that speaks S3."""

from collections.abc import Iterator
from typing import Any

import boto3
import httpx
import pytest

from benchmarks import s3_server
from benchmarks.s3_server import KEYS
from sadcl import s3
from tests.lying_proxy import LyingProxy


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server that speaks S3."""
    with s3_server.serve(tmp_path_factory.mktemp("moto")) as address:
        yield address


@pytest.fixture
def bucket(moto: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[LyingProxy]:
    """An empty bucket ``photos``, reached through a proxy that lies."""
    proxy = LyingProxy(moto)
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": proxy.address}.items():
        monkeypatch.setenv(name, value)
    s3.reset()
    httpx.post(f"{moto}/moto-api/reset", timeout=30).raise_for_status()
    client(moto).create_bucket(Bucket="photos")
    yield proxy
    proxy.shutdown()
    proxy.server_close()
    s3.reset()


def client(moto: str) -> Any:
    """A client that the proxy does not deceive."""
    return boto3.session.Session().client("s3", endpoint_url=moto)
