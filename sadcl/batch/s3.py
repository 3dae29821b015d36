"""Photos on S3, or on a server that speaks its protocol: listing and reading; the only module that imports boto3."""

import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any, TypeVar

from sadcl import extras
from sadcl.errors import SadclError, first_line

SCHEME = "s3://"
TRIES, FIRST_PAUSE, LONGEST_PAUSE = 5, 0.2, 5.0
"""Tries of a request, and seconds between them, doubled each time."""
CONNECT_SECONDS, READ_SECONDS = 10, 30
CONNECTIONS = 32
FINAL = {"400", "401", "403", "404", "AccessDenied", "NoSuchBucket", "NoSuchKey", "InvalidAccessKeyId",
         "SignatureDoesNotMatch", "PermanentRedirect", "InvalidBucketName", "412", "PreconditionFailed"}  # fmt: skip
"""Codes of answers that another try does not change."""

T = TypeVar("T")


class RefusedError(SadclError):
    """S3 gave no answer, or a refusal.

    Attributes:
        code: of the answer; empty where there was none.
    """

    def __init__(self, error: Exception, address: str) -> None:
        self.code = _code(error)
        fix = "Check the address, the credentials and AWS_ENDPOINT_URL"
        super().__init__(f"S3 has not answered the request: {first_line(error)}", where=address, fix=fix)


def is_address(text: str) -> bool:
    """Whether a text is an address of S3."""
    return text.startswith(SCHEME)


def join(root: str, path: str) -> str:
    """Address of an object below another address."""
    return f"{root.rstrip('/')}/{path}"


def split(address: str) -> tuple[str, str]:
    """Bucket and key of an address.

    Raises:
        SadclError: it names no bucket.
    """
    bucket, _, key = address.removeprefix(SCHEME).partition("/")
    if not bucket:
        raise SadclError("The address names no bucket", where=address, fix="Write s3://BUCKET/FOLDER")
    return bucket, key


@cache
def _client() -> Any:
    """The client of this process, for all threads; endpoint and credentials come from AWS's own variables and files."""
    boto3, config = extras.load("boto3"), extras.load("botocore.config")
    # `_tries` is the only loop of tries: botocore's does not cover bodies that end too early
    settings = config.Config(
        retries={"total_max_attempts": 1},
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        max_pool_connections=CONNECTIONS,
    )
    return boto3.session.Session().client("s3", config=settings)


def list_folder(address: str) -> tuple[list[tuple[str, int, str]], list[str]]:
    """List objects directly below an address that ends with a slash, and the folders there.

    Returns:
        Name, size in bytes and etag of each object; names of the folders, with a slash at the end.

    Raises:
        RefusedError: the bucket is missing, or the server refuses or does not answer.
    """
    bucket, prefix = split(address)
    objects: list[tuple[str, int, str]] = []
    folders: list[str] = []
    start: dict[str, str] = {}
    while True:
        request = partial(_client().list_objects_v2, Bucket=bucket, Prefix=prefix, Delimiter="/", **start)
        page = _tries(request, address)
        for item in page.get("Contents", ()):
            if name := item["Key"][len(prefix) :]:
                objects.append((name, item["Size"], item["ETag"].strip('"')))
        folders += [item["Prefix"][len(prefix) :] for item in page.get("CommonPrefixes", ())]
        if not page.get("IsTruncated"):
            return objects, folders
        start = {"ContinuationToken": page["NextContinuationToken"]}


def read(address: str, size: int | None = None, etag: str | None = None) -> bytes:
    """Read an object whole, if it is still the one that was listed.

    Args:
        address: of the object.
        size: expected, in bytes.
        etag: expected.

    Raises:
        SadclError: it has changed or gone, or can't be read after several tries.
    """
    from sadcl.batch import reading

    (bucket, key), client = split(address), _client()
    condition = {"IfMatch": f'"{etag}"'} if etag else {}

    def get() -> bytes:
        answer = client.get_object(Bucket=bucket, Key=key, **condition)
        if answer["ContentLength"] > reading.LARGEST:
            raise SadclError(reading.TOO_LARGE)
        with answer["Body"] as body:
            data: bytes = body.read()
        if len(data) != answer["ContentLength"] or (size is not None and len(data) != size):
            raise OSError(f"{len(data):,} bytes came of {size or answer['ContentLength']:,}")
        if etag and answer["ETag"].strip('"') != etag:
            raise SadclError(reading.CHANGED)
        return data

    try:
        return _tries(get, address)
    except RefusedError as error:
        reasons = dict.fromkeys(("412", "PreconditionFailed"), reading.CHANGED)
        reasons |= dict.fromkeys(("404", "NoSuchKey"), reading.GONE)
        raise SadclError(reasons.get(error.code, error.what)) from None


def _tries(request: Callable[[], T], address: str) -> T:
    """Repeat a request that fails for the moment, with pauses.

    Raises:
        RefusedError: it failed for good, or too often.
    """
    errors: Any = extras.load("botocore.exceptions")
    http: Any = extras.load("urllib3.exceptions")
    for number in range(TRIES):
        try:
            return request()
        except (errors.BotoCoreError, errors.ClientError, http.HTTPError, OSError) as error:
            failed = error
            if _code(error) in FINAL or isinstance(error, errors.NoCredentialsError):
                break
        if number + 1 < TRIES:
            time.sleep(min(FIRST_PAUSE * 2**number, LONGEST_PAUSE))
    raise RefusedError(failed, address)


def _code(error: Exception) -> str:
    """Code of the server's answer; empty where there was none."""
    return str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))
