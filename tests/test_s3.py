"""Requests to S3."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from sadcl import s3


def test_threads_that_begin_together_share_a_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    s3._client.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        clients = list(pool.map(lambda _: s3._shared_client(), range(8)))
    s3._client.cache_clear()
    assert len(set(map(id, clients))) == 1
