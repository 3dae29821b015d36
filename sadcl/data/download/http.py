"""HTTP downloads that resume: a large file over an unreliable connection arrives complete or not at all."""

import hashlib
import json
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx

from sadcl import files
from sadcl.errors import SadclError
from sadcl.progress import say, track

MEGABYTE = 10**6
_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}
_OTHER_MIRROR = "Use another mirror (--from)"
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "sadcl"}


class TryAgainError(Exception):
    """An attempt failed for a reason that may pass."""


class MissingError(SadclError):
    """The server has no such file."""


@dataclass(frozen=True)
class RetryPolicy:
    """Timeouts and attempts of a download.

    Attributes:
        stall: seconds without a byte until a connection counts as dead.
        attempts: most connections per file; each resumes where the last one ended.
        fruitless: most attempts in a row that bring no byte.
        pause: seconds before the second attempt; doubled each time, up to 30.
    """

    stall: float = 60.0
    attempts: int = 20
    fruitless: int = 5
    pause: float = 1.0


class PartialDownload:
    """Bytes of an unfinished download, and the server's description of the file that they belong to.

    Attributes:
        file: ``NAME.part``, the bytes received so far.
        size: of the complete file in bytes, where the caller knows it.
        total: of the complete file in bytes, by the caller or the server; None where neither says.
        validator: strong ETag or Last-Modified of the file on the server; empty where it sends neither.
    """

    def __init__(self, path: Path, url: str, size: int | None, checked: bool) -> None:
        self._path, self._url, self.size, self._checked = path, url, size, checked
        self.file = path.with_name(f"{path.name}.part")
        self._about = path.with_name(f"{path.name}.part.json")
        self.validator, self.total = "", size
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(OSError, ValueError, AttributeError, KeyError):
            about = json.loads(self._about.read_text(encoding="utf-8"))
            if about["url"] == url and about["total"] in (size, size or about["total"]):
                self.validator, self.total = str(about["validator"]), about["total"]
        if not (self.validator or checked):  # nothing could show that the rest belongs to these bytes
            self.file.unlink(missing_ok=True)

    @property
    def received(self) -> int:
        """Bytes on the disk."""
        return self.file.stat().st_size if self.file.exists() else 0

    @property
    def resumable(self) -> bool:
        """Whether the next request asks for the missing bytes only."""
        return self.received > 0 and bool(self.validator or self._checked)

    def restart(self) -> None:
        """Discard the bytes received, and the server's description of the file."""
        self.file.unlink(missing_ok=True)
        self.validator, self.total = "", self.size

    def describe(self, validator: str, total: int | None) -> None:
        """Record the server's description of the file, for the next attempt or process."""
        self.validator, self.total = validator, total
        files.write_json(self._about, {"url": self._url, "validator": validator, "total": total})

    def finish(self) -> None:
        """Give the complete file its name.

        Raises:
            TryAgainError: bytes are missing.
        """
        if self.total is not None and self.received < self.total:
            raise TryAgainError("the connection was cut")
        self.file.replace(self._path)
        self._about.unlink(missing_ok=True)


def download(
    url: str, path: Path, *, size: int | None = None, checked: bool = False, patience: RetryPolicy = RetryPolicy()
) -> None:
    """Download a file; resume from ``path.part`` what a cut connection or a killed process left.

    Args:
        url: http or https.
        path: where the complete file goes.
        size: in bytes, where it is known; a server that announces another size is refused.
        checked: the caller compares a checksum. Without one, a partial download is resumed only if the server can
            show that the file is unchanged.
        patience: timeouts and attempts.

    Raises:
        MissingError: the server has no such file.
        SadclError: the server refuses, contradicts itself or stays unreachable, or the disk is full.
    """
    with files.translate_disk_errors(path, "the next attempt resumes from the bytes received"):
        _download(url, PartialDownload(path, without_password(url), size, checked), path.name, patience)


def _download(url: str, part: PartialDownload, name: str, patience: RetryPolicy) -> None:
    pause, fruitless = patience.pause, 0
    with httpx.Client(follow_redirects=True, timeout=patience.stall, headers=_HEADERS) as client:
        for attempt in range(1, patience.attempts + 1):
            received_before = part.received
            try:
                _request_missing(client, url, part)
                part.finish()
                return
            except (TryAgainError, httpx.TransportError) as error:
                reason = _failure_reason(error, patience)
                fruitless = 0 if part.received > received_before else fruitless + 1
                if fruitless == patience.fruitless or attempt == patience.attempts:
                    break
                say(f"  {name}: {reason}; retrying from {part.received / 1e6:,.0f} MB")
                time.sleep(pause)
                pause = min(2 * pause, 30.0)
            except (httpx.InvalidURL, httpx.TooManyRedirects) as error:
                raise SadclError(f"The address is invalid: {error}", where=without_password(url)) from None
    raise SadclError(
        f"{name} could not be downloaded in {attempt} attempts; the last one failed because {reason}",
        where=without_password(url),
        fix="Run this again; the download resumes",
    )


def length(url: str, patience: RetryPolicy) -> int | None:
    """Size of a file in bytes as its server announces it; None where it does not."""
    try:
        with httpx.Client(follow_redirects=True, timeout=min(patience.stall, 10.0), headers=_HEADERS) as client:
            response = client.head(url)
    except (httpx.HTTPError, httpx.InvalidURL):
        return None
    plain = response.headers.get("content-encoding", "identity") == "identity"
    size = _number(response.headers.get("content-length", ""))
    return size if response.status_code == 200 and plain else None


def digests(path: Path) -> dict[str, str]:
    """SHA-256 and MD5 of a file in hexadecimal, by name; the file is read once."""
    hashes = {"sha256": hashlib.sha256(), "md5": hashlib.md5(usedforsecurity=False)}

    def pieces() -> Iterator[None]:
        with open(path, "rb") as file:
            while piece := file.read(MEGABYTE):
                for hasher in hashes.values():
                    hasher.update(piece)
                yield

    for _ in track(pieces(), f"checking {path.name}", total=-(-path.stat().st_size // MEGABYTE), unit="MB"):
        pass
    return {name: hasher.hexdigest() for name, hasher in hashes.items()}


def _failure_reason(error: Any, patience: RetryPolicy) -> str:
    if isinstance(error, httpx.TimeoutException):
        return f"no byte arrived for {patience.stall:g} s"
    if isinstance(error, httpx.ConnectError):
        return "the server is unreachable"
    return str(error) if isinstance(error, TryAgainError) else "the connection was cut"


def _request_missing(client: httpx.Client, url: str, part: PartialDownload) -> None:
    """Send one request for the missing bytes, and append what arrives.

    Raises:
        TryAgainError: a failure that may pass; so does ``httpx.TransportError`` report one.
        MissingError: the server has no such file.
        SadclError: the server refuses or contradicts itself, or the disk has too little room.
    """
    if part.total is not None and part.received >= part.total:
        if part.received == part.total:
            return
        part.restart()
    headers = {}
    if part.resumable:
        headers["Range"] = f"bytes={part.received}-"
        if part.validator:  # the server then sends the whole file if it has changed
            headers["If-Range"] = part.validator
    with client.stream("GET", url, headers=headers) as response:
        total = _check_response(response, part)
        files.require_room(
            part.file.parent, 0 if total is None else total - part.received, f"downloading {part.file.stem}"
        )
        part.describe(_validator(response), total)
        left = None if total is None else -(-(total - part.received) // MEGABYTE)
        for _ in track(_append_body(response, part, total), f"downloading {part.file.stem}", total=left, unit="MB"):
            pass


def _check_response(response: httpx.Response, part: PartialDownload) -> int | None:
    """Size of the complete file in bytes, None where it is open; the partial file ends where the response begins."""
    where = without_password(str(response.request.url))
    if response.status_code in _TRANSIENT:
        raise TryAgainError(f"the server answered {response.status_code}")
    if response.status_code == 416:
        part.restart()
        raise TryAgainError("the server's file is shorter than the partial download")
    if response.status_code not in (200, 206):
        reason = f"The server answered {response.status_code} {response.reason_phrase}".strip()
        kind = MissingError if response.status_code in (404, 410) else SadclError
        raise kind(reason, where=where, fix="Check the address, or give a mirror with --from")
    if response.headers.get("content-encoding", "identity") != "identity":
        raise SadclError("The server re-encodes the file (Content-Encoding)", where=where)
    length = _number(response.headers.get("content-length", ""))
    if response.status_code == 206:
        start, total = _content_range(response.headers.get("content-range", ""))
        expected = part.total
        if (
            start != part.received
            or (expected is not None and total != expected)
            or length not in (None, total - start)
        ):
            part.restart()
            raise TryAgainError("the server sent a different range than requested")
        return total
    part.restart()  # a whole file comes: the server supports no ranges, or the file has changed
    chunked = response.headers.get("transfer-encoding", "").lower() == "chunked"
    if length is None and part.size is None and not chunked:
        raise SadclError("The server does not announce the file's size", where=where, fix=_OTHER_MIRROR)
    if part.size is not None and length not in (None, part.size):
        raise SadclError(
            f"The server announces {length:,} bytes, but the file should have {part.size:,}",
            where=where,
            fix=_OTHER_MIRROR,
        )
    return length if part.size is None else part.size


def _append_body(response: httpx.Response, part: PartialDownload, total: int | None) -> Iterator[None]:
    """Append a response's body to the partial file; yields once per megabyte."""
    with open(part.file, "ab") as file:
        written = file.tell()
        next_mark = written + MEGABYTE
        for piece in response.iter_raw():
            written += len(piece)
            if total is not None and written > total:
                part.restart()
                raise SadclError(
                    "The server sent more bytes than it announced", where=without_password(str(response.request.url))
                )
            file.write(piece)
            while written >= next_mark:
                next_mark += MEGABYTE
                yield


def _validator(response: httpx.Response) -> str:
    """Value for If-Range: a strong ETag, or else Last-Modified (RFC 9110, section 13.1.5)."""
    etag = response.headers.get("etag", "")
    return str(etag if etag and not etag.startswith("W/") else response.headers.get("last-modified", ""))


def _content_range(text: str) -> tuple[int, int]:
    """First byte and size of the complete file by a Content-Range; -1, -1 where it does not reach the file's end."""
    match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", text.strip())
    return (int(match[1]), int(match[3])) if match and int(match[2]) + 1 == int(match[3]) else (-1, -1)


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def without_password(url: str) -> str:
    """URL without user name and password, fit for messages and records."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rsplit("@", 1)[-1]))
