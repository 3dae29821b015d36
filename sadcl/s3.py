"""Objects on S3, or on a server that speaks its protocol: listing, reading, writing; only this module imports boto3."""

import re
import threading
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from functools import cache, partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from sadcl import extras
from sadcl.errors import SadclError, first_line

SCHEME = "s3://"
TRIES, FIRST_PAUSE, LONGEST_PAUSE = 8, 0.2, 5.0
"""Tries of a request, and seconds between them, doubled each time: a quarter of a minute in all."""
CONNECT_SECONDS, READ_SECONDS = 10, 30
READERS, CONNECTIONS = 16, 32
"""Threads of a process that wait for objects, and connections of all of them; cores are no measure for either."""
CLOCK = 60.0
"""Seconds by which this machine's clock may differ from a server's, which refuses requests that are 15 minutes off."""
PART = 1 << 20
"""Bytes that a download holds in memory."""
MISSING = ("404", "NoSuchKey")
LARGEST = 5_000_000_000
"""Bytes that S3 takes in one request."""
DIGEST = "sha256"
"""Metadata of objects that are named by their content."""
CREDENTIALS = {"ExpiredToken", "InvalidToken", "TokenRefreshRequired", "InvalidAccessKeyId"}
"""Codes of answers to credentials that are of no use for any object."""
FINAL = {"400", "401", "403", "404", "AccessDenied", "NoSuchBucket", "NoSuchKey", "SignatureDoesNotMatch",
         "PermanentRedirect", "InvalidBucketName", "412", "PreconditionFailed", "RequestTimeTooSkewed",
         "InvalidObjectState", "416", "InvalidRange", "AllAccessDisabled", "AccountProblem",
         "AuthorizationHeaderMalformed"}  # fmt: skip
"""Codes of other answers that another try does not change."""

LOGIN = re.compile(r"//[^/@\s]*@")
"""User and password in an address."""
T = TypeVar("T")
_creating = threading.Lock()


CHANGED = "The object changed after it was listed"


class ChangedError(SadclError):
    """An object is no longer the one that was listed."""


class GoneError(SadclError):
    """There is no such object."""


class TooLargeError(SadclError):
    """An object has more bytes than the reader allows."""


class RefusedError(SadclError):
    """S3 gave no answer, or a refusal.

    Attributes:
        code: of the answer; empty where there was none.
        headers: of the answer.
    """

    def __init__(self, error: Exception, address: str) -> None:
        self.code = _code(error)
        self.headers: dict[str, str] = _answer(error).get("ResponseMetadata", {}).get("HTTPHeaders", {})
        fix = "Check the address, the credentials and AWS_ENDPOINT_URL"
        reason = LOGIN.sub("//", first_line(error))
        super().__init__(f"S3 has not answered the request: {reason}", where=address, fix=fix)


class CredentialsError(RefusedError):
    """There are no credentials, or they are of no use for any object."""


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


def shared_client() -> Any:
    """The client of all threads of this process; endpoint and credentials come from AWS's own variables and files.

    Raises:
        SadclError: these settings can't be used.
    """
    with _creating:  # `cache` alone lets each thread that waits create its own
        return _client()


def reset() -> None:
    """Close the client of this process, so that the next request reads AWS's variables and files again."""
    with _creating:
        if _client.cache_info().currsize:
            _client().close()
        _client.cache_clear()


@cache
def _client() -> Any:
    boto3, config = extras.load("boto3"), extras.load("botocore.config")
    # `_tries` is the only loop of tries: botocore's does not cover bodies that end too early
    settings = config.Config(
        retries={"total_max_attempts": 1},
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        max_pool_connections=CONNECTIONS,
        # other servers than Amazon's may refuse checksums of its newer kinds
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    try:
        return boto3.session.Session().client("s3", config=settings)
    except (extras.load("botocore.exceptions").BotoCoreError, ValueError) as error:
        reason = LOGIN.sub("//", first_line(error))
        fix = "Check AWS_PROFILE, AWS_DEFAULT_REGION and AWS_ENDPOINT_URL"
        raise SadclError(f"The settings of S3 can't be used: {reason}", fix=fix) from None


def bucket_problem(address: str) -> str:
    """Describe why the bucket of an address can't be used, or that its clock differs; empty where all is well.

    The bucket is asked once.
    """
    bucket, _ = split(address)
    before, problem = time.time(), ""
    try:
        request = partial(shared_client().head_bucket, Bucket=bucket)
        headers = _tries(request, address, tries=1)["ResponseMetadata"]["HTTPHeaders"]
    except RefusedError as error:
        headers, problem = error.headers, str(error)
    except SadclError as error:
        return str(error)
    off = _clock_difference(headers.get("date", ""), before, time.time())
    if off > CLOCK:  # it also explains a refusal
        return f"This machine's clock and that of {address} differ by {off:.0f} s; set both by NTP."
    return problem


def _clock_difference(date: str, before: float, after: float) -> float:
    """Seconds between the time of an answer and this machine's clock before and after it; 0 without a time."""
    try:
        clock = parsedate_to_datetime(date).timestamp()
    except ValueError:
        return 0.0
    # the answer's own time, in whole seconds, lies between the two readings of this clock
    return max(0.0, before - clock - 1, clock - after)


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
        request = partial(shared_client().list_objects_v2, Bucket=bucket, Prefix=prefix, Delimiter="/", **start)
        page = _tries(request, address)
        for item in page.get("Contents", ()):
            if name := item["Key"][len(prefix) :]:
                objects.append((name, item["Size"], item["ETag"].strip('"')))
        folders += [item["Prefix"][len(prefix) :] for item in page.get("CommonPrefixes", ())]
        if not page.get("IsTruncated"):
            return objects, folders
        start = {"ContinuationToken": page.get("NextContinuationToken", "")}
        if not start["ContinuationToken"]:
            raise RefusedError(OSError("a part of the listing has no successor"), address)


def is_empty(address: str) -> bool:
    """Whether no object lies below an address that ends with a slash.

    Raises:
        RefusedError: the bucket is missing, or the server refuses or does not answer.
    """
    bucket, prefix = split(address)
    request = partial(shared_client().list_objects_v2, Bucket=bucket, Prefix=prefix, MaxKeys=1)
    page = _tries(request, address)
    return not page.get("Contents")


def read(address: str, size: int | None = None, etag: str | None = None, most: int | None = None) -> bytes:
    """Read an object whole, if it is still the one that was listed.

    Args:
        address: of the object.
        size: expected, in bytes.
        etag: expected.
        most: bytes; a larger object is not read.

    Raises:
        ChangedError: it has changed.
        GoneError: there is none.
        TooLargeError: it has more than ``most`` bytes.
        RefusedError: it can't be read after several tries.
    """
    condition = {"IfMatch": f'"{etag}"'} if etag else {}

    def get(body: Any, length: int) -> bytes:
        if most is not None and length > most:
            raise TooLargeError(f"The object has {length:,} bytes", where=address)
        data: bytes = body.read()
        if len(data) != length:
            raise OSError(f"{len(data):,} bytes came of {length:,}")
        if size is not None and length != size:
            raise ChangedError(CHANGED, where=address)
        return data

    return _get(address, condition, etag, get)


def read_range(address: str, first: int, count: int, digest: str) -> bytes:
    """Read some bytes of an object that ``write`` has written.

    Args:
        address: of the object.
        first: offset of the first byte.
        count: number of bytes, at least 1.
        digest: SHA-256 of the whole object; compared with its metadata.

    Raises:
        ChangedError: the metadata has another digest.
        GoneError: there is no such object.
        RefusedError: it can't be read after several tries.
    """

    def get(body: Any, _: int) -> bytes:
        data: bytes = body.read(count + 1)
        if len(data) != count:
            raise OSError(f"{len(data):,} bytes came of {count:,}")
        return data

    return _get(address, {"Range": f"bytes={first}-{first + count - 1}"}, None, get, digest)


def download(address: str, file: BinaryIO) -> None:
    """Write an object to an open file, a part at a time; what the file had is replaced.

    Raises:
        GoneError: there is no such object.
        RefusedError: it can't be read after several tries.
        OSError: the file can't be written.
    """

    def get(body: Any, length: int) -> None:
        file.seek(0)
        file.truncate()
        count = 0
        while part := body.read(PART):
            count += len(part)
            try:
                file.write(part)
            except OSError as error:  # the disk's failure: no reason to ask the server again
                raise _FileError(error) from None
        if count != length:
            raise OSError(f"{count:,} bytes came of {length:,}")

    try:
        _get(address, {}, None, get)
    except _FileError as error:
        raise error.cause from None


def write(address: str, path: Path, digest: str) -> None:
    """Write a file to an object, unless one with the same digest is there.

    Args:
        address: of the object.
        path: of the file.
        digest: SHA-256 of its content, which becomes metadata of the object.

    Raises:
        SadclError: the file is larger than S3 takes at once.
        RefusedError: the server refuses or does not answer.
    """
    (bucket, key), client, size = split(address), shared_client(), path.stat().st_size
    if size > LARGEST:
        raise SadclError(f"S3 takes {LARGEST / 1e9:.0f} GB at once, and this has {size / 1e9:.1f} GB", where=address)
    try:
        current = _tries(partial(client.head_object, Bucket=bucket, Key=key), address)
        if (current.get("ContentLength"), current.get("Metadata", {}).get(DIGEST)) == (size, digest):
            return
    except RefusedError as error:
        if error.code not in MISSING:
            raise

    def put() -> None:
        with path.open("rb") as body:
            client.put_object(Bucket=bucket, Key=key, Body=body, Metadata={DIGEST: digest})

    _tries(put, address)


class _FileError(Exception):
    """A downloaded part can't be written to its file."""

    def __init__(self, cause: OSError) -> None:
        self.cause = cause


def _get(
    address: str,
    request: Mapping[str, str],
    etag: str | None,
    take: Callable[[Any, int], T],
    digest: str | None = None,
) -> T:
    """Ask for an object, and hand its body and the length that the server states to a function."""
    (bucket, key), client = split(address), shared_client()

    def get() -> T:
        answer = client.get_object(Bucket=bucket, Key=key, **request)
        with answer["Body"] as body:
            if etag and answer.get("ETag", "").strip('"') != etag:
                raise ChangedError(CHANGED, where=address)
            if digest and answer.get("Metadata", {}).get(DIGEST, digest) != digest:
                raise ChangedError(CHANGED, where=address)
            if "ContentLength" not in answer:
                raise OSError("the answer has no length")
            return take(body, answer["ContentLength"])

    try:
        return _tries(get, address)
    except RefusedError as error:
        if error.code in ("412", "PreconditionFailed"):
            raise ChangedError(CHANGED, where=address) from None
        if error.code in MISSING:
            raise GoneError("There is no such object", where=address, fix="Check the address") from None
        raise


def _tries(request: Callable[[], T], address: str, tries: int | None = None) -> T:
    """Repeat a request that fails for the moment, with pauses.

    Raises:
        CredentialsError: there are no credentials, or the server takes them for no object.
        RefusedError: it failed for good, or too often.
    """
    errors: Any = extras.load("botocore.exceptions")
    http: Any = extras.load("urllib3.exceptions")
    missing = (
        errors.NoCredentialsError, errors.PartialCredentialsError, errors.SSOTokenLoadError,
        errors.UnauthorizedSSOTokenError,
    )  # fmt: skip
    most = tries or TRIES
    for number in range(most):
        try:
            return request()
        except (errors.BotoCoreError, errors.ClientError, http.HTTPError, OSError) as error:
            failed = error
            if _code(error) in CREDENTIALS or isinstance(error, missing):
                raise CredentialsError(error, address) from None
            if _code(error) in FINAL:
                break
        if number + 1 < most:
            time.sleep(min(FIRST_PAUSE * 2**number, LONGEST_PAUSE))
    raise RefusedError(failed, address)


def _code(error: Exception) -> str:
    """Code of the server's answer; empty where there was none."""
    return str(_answer(error).get("Error", {}).get("Code", ""))


def _answer(error: Exception) -> dict[str, Any]:
    """The server's answer to a request that failed; empty where there was none."""
    return getattr(error, "response", None) or {}  # botocore sets None where the connection was closed
