"""Requests to S3."""

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError

from sadcl import s3
from sadcl.errors import SadclError
from sadcl.services import free_port


def test_threads_that_begin_together_share_a_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    s3.reset()
    with ThreadPoolExecutor(8) as pool:
        clients = list(pool.map(lambda _: s3.shared_client(), range(8)))
    s3.reset()
    assert len(set(map(id, clients))) == 1


@pytest.mark.parametrize(("name", "value"), [
    ("AWS_PROFILE", "nobody's"), ("AWS_ENDPOINT_URL", "localhost:9000"),
])  # fmt: skip
def test_settings_that_cannot_be_used_are_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv(name, value)
    s3.reset()
    with pytest.raises(SadclError, match=r"settings of S3 can't be used: .*AWS_PROFILE.*AWS_ENDPOINT_URL"):
        s3.read("s3://photos/one.jpg")
    assert "settings of S3" in s3.bucket_problem("s3://photos")


@pytest.mark.parametrize("code", [
    "ExpiredToken", "InvalidToken", "TokenRefreshRequired", "InvalidAccessKeyId", "InvalidObjectState", "InvalidRange",
    "RequestTimeTooSkewed", "AllAccessDisabled", "AuthorizationHeaderMalformed",
])  # fmt: skip
def test_an_answer_that_stays_the_same_is_asked_for_once(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[str] = []

    def refuse(Bucket: str, Key: str) -> None:
        requests.append(Key)
        raise ClientError({"Error": {"Code": code, "Message": "no"}}, "GetObject")

    monkeypatch.setattr(s3.time, "sleep", lambda _: None)
    monkeypatch.setattr(s3, "shared_client", lambda: SimpleNamespace(get_object=refuse))
    with pytest.raises(s3.RefusedError, match=code) as refused:
        s3.read("s3://photos/1.jpg")
    assert requests == ["1.jpg"]
    assert isinstance(refused.value, s3.CredentialsError) == (code in s3.CREDENTIALS)


def test_a_password_in_the_endpoint_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(variable, "anything")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://user:secret@127.0.0.1:{free_port()}")
    s3.reset()
    problem = s3.bucket_problem("s3://photos")
    s3.reset()
    assert "127.0.0.1" in problem
    assert "secret" not in problem
