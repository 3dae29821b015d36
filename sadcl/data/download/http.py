"""One file over HTTP that may be large, over a line that may be poor: whole and as it should be, or not at all."""

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
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "sadcl"}


class TryAgainError(Exception):
    """This attempt failed; another may not."""


class MissingError(SadclError):
    """The server has no such file."""


@dataclass(frozen=True)
class RetryPolicy:
    """How long to wait for whom.

    Attributes:
        stall: seconds without one byte after which a connection counts as dead.
        attempts: connections a file at most; each goes on where the last one ended.
        fruitless: of these, at most so many in a row that bring nothing.
        pause: seconds before the second attempt; doubled each time, up to half a minute.
    """

    stall: float = 60.0
    attempts: int = 20
    fruitless: int = 5
    pause: float = 1.0


class PartialDownload:
    """The bytes that are here already, and what the server said about the file that they belong to."""

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
        if not (self.validator or checked):
            self.file.unlink(missing_ok=True)

    @property
    def here(self) -> int:
        return self.file.stat().st_size if self.file.exists() else 0

    @property
    def goes_on(self) -> bool:
        """Whether the next request asks for the rest only."""
        return self.here > 0 and bool(self.validator or self._checked)

    def restart(self) -> None:
        self.file.unlink(missing_ok=True)
        self.validator, self.total = "", self.size

    def learn(self, validator: str, total: int | None) -> None:
        self.validator, self.total = validator, total
        files.write_json(self._about, {"url": self._url, "validator": validator, "total": total})

    def finish(self) -> None:
        if self.total is not None and self.here < self.total:
            raise TryAgainError("the connection was cut")
        self.file.replace(self._path)
        self._about.unlink(missing_ok=True)


def download(
    url: str, path: Path, *, size: int | None = None, checked: bool = False, patience: RetryPolicy = RetryPolicy()
) -> None:
    """Get a file; what a cut connection or a killed process left in ``path.part`` is gone on from.

    Args:
        url: http or https.
        path: appears when every byte is there.
        size: in bytes, where it is known: a server that says otherwise is refused.
        checked: the caller compares a checksum. Without one, a part is gone on from only if the server can say
            that the file is still the same.
        patience: timeouts and attempts.

    Raises:
        MissingError: the server has no such file.
        SadclError: it refuses, contradicts itself, or could not be reached often enough; or the disk is full.
    """
    with files.translate_disk_errors(path, "what came stays for the next attempt"):
        _download(url, PartialDownload(path, bare(url), size, checked), path.name, patience)


def _download(url: str, part: PartialDownload, name: str, patience: RetryPolicy) -> None:
    pause, fruitless = patience.pause, 0
    with httpx.Client(follow_redirects=True, timeout=patience.stall, headers=_HEADERS) as client:
        for attempt in range(1, patience.attempts + 1):
            before = part.here
            try:
                ask(client, url, part)
                part.finish()
                return
            except (TryAgainError, httpx.TransportError) as error:
                reason = _words(error, patience)
                fruitless = 0 if part.here > before else fruitless + 1
                if fruitless == patience.fruitless or attempt == patience.attempts:
                    break
                say(f"  {name}: {reason}; trying again at {part.here / 1e6:,.0f} MB")
                time.sleep(pause)
                pause = min(2 * pause, 30.0)
            except (httpx.InvalidURL, httpx.TooManyRedirects) as error:
                raise SadclError(f"The address can't be used: {error}", where=bare(url)) from None
    raise SadclError(
        f"{name} could not be fetched in {attempt} attempts; at last, {reason}",
        where=bare(url),
        fix="Run this again: it goes on where it was",
    )


def length(url: str, patience: RetryPolicy) -> int | None:
    """Bytes of a file as its server says beforehand; None where it does not."""
    try:
        with httpx.Client(follow_redirects=True, timeout=min(patience.stall, 10.0), headers=_HEADERS) as client:
            answer = client.head(url)
    except (httpx.HTTPError, httpx.InvalidURL):
        return None
    said = answer.headers.get("content-length", "")
    plain = answer.headers.get("content-encoding", "identity") == "identity"
    return int(said) if answer.status_code == 200 and plain and said.isdecimal() else None


def digests(path: Path) -> dict[str, str]:
    """SHA-256 and MD5 of a file, read once."""
    found = {"sha256": hashlib.sha256(), "md5": hashlib.md5(usedforsecurity=False)}

    def pieces() -> Iterator[None]:
        with open(path, "rb") as file:
            while piece := file.read(MEGABYTE):
                for each in found.values():
                    each.update(piece)
                yield

    for _ in track(pieces(), f"checking {path.name}", total=-(-path.stat().st_size // MEGABYTE), unit="MB"):
        pass
    return {name: each.hexdigest() for name, each in found.items()}


def _words(error: Any, patience: RetryPolicy) -> str:
    if isinstance(error, httpx.TimeoutException):
        return f"nothing came for {patience.stall:g} s"
    if isinstance(error, httpx.ConnectError):
        return "the server can't be reached"
    return str(error) if isinstance(error, TryAgainError) else "the connection was cut"


def ask(client: httpx.Client, url: str, part: PartialDownload) -> None:
    """Ask once for what is lacking, and take what comes.

    Raises:
        TryAgainError: this attempt failed; ``httpx.TransportError`` says the same.
        MissingError: the server has no such file.
        SadclError: it refuses or contradicts itself, or there is too little room.
    """
    if part.total is not None and part.here >= part.total:
        if part.here == part.total:
            return
        part.restart()
    headers = {}
    if part.goes_on:
        headers["Range"] = f"bytes={part.here}-"
        if part.validator:
            headers["If-Range"] = part.validator
    with client.stream("GET", url, headers=headers) as response:
        total = _agreed(response, part)
        files.require_room(part.file.parent, 0 if total is None else total - part.here, f"fetching {part.file.stem}")
        part.learn(_validator(response), total)
        left = None if total is None else -(-(total - part.here) // MEGABYTE)
        for _ in track(_received(response, part, total), f"fetching {part.file.stem}", total=left, unit="MB"):
            pass


def _agreed(response: httpx.Response, part: PartialDownload) -> int | None:
    """The file's length as the server says it, or None where it need not say; the part begins where the answer does."""
    where = bare(str(response.request.url))
    if response.status_code in _PASSING:
        raise TryAgainError(f"the server answered {response.status_code}")
    if response.status_code == 416:
        part.restart()
        raise TryAgainError("the server has not that much of the file")
    if response.status_code not in (200, 206):
        words = f"The server answered {response.status_code} {response.reason_phrase}".strip()
        kind = MissingError if response.status_code in (404, 410) else SadclError
        raise kind(words, where=where, fix="Check the address, or name a mirror with --from")
    if response.headers.get("content-encoding", "identity") != "identity":
        raise SadclError("The server changes the file on the way (Content-Encoding)", where=where)
    length = _number(response.headers.get("content-length", ""))
    if response.status_code == 206:
        start, total = _content_range(response.headers.get("content-range", ""))
        expected = part.total
        if start != part.here or (expected is not None and total != expected) or length not in (None, total - start):
            part.restart()
            raise TryAgainError("the server sent another part of the file than it was asked for")
        return total
    part.restart()  # the whole file: the server knows no ranges, or the file has changed
    chunked = response.headers.get("transfer-encoding", "").lower() == "chunked"
    if length is None and part.size is None and not chunked:
        raise SadclError("The server does not say how long the file is", where=where, fix="Take another mirror")
    if part.size is not None and length not in (None, part.size):
        raise SadclError(
            f"The server says that the file has {length:,} bytes, but it should have {part.size:,}",
            where=where,
            fix="Take another mirror (--from)",
        )
    return length if part.size is None else part.size


def _received(response: httpx.Response, part: PartialDownload, total: int | None) -> Iterator[None]:
    """Write what comes; yields once a megabyte."""
    with open(part.file, "ab") as file:
        got = file.tell()
        due = got + MEGABYTE
        for piece in response.iter_raw():
            got += len(piece)
            if total is not None and got > total:
                part.restart()
                raise SadclError("The server sends more than it said", where=bare(str(response.request.url)))
            file.write(piece)
            while got >= due:
                due += MEGABYTE
                yield


def _validator(response: httpx.Response) -> str:
    """What If-Range takes: a strong ETag, or the time of change."""
    etag = response.headers.get("etag", "")
    return str(etag if etag and not etag.startswith("W/") else response.headers.get("last-modified", ""))


def _content_range(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", text.strip())
    return (int(found[1]), int(found[3])) if found and int(found[2]) + 1 == int(found[3]) else (-1, -1)


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def bare(url: str) -> str:
    """An address without a password in it."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rsplit("@", 1)[-1]))
