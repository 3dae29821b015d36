"""The part of a file that is here already, and what a server's answer adds to it."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import httpx

from sadcl import files
from sadcl.errors import SadclError
from sadcl.progress import track

MEGABYTE = 10**6
_PASSING = {408, 425, 429, 500, 502, 503, 504}


class TryAgainError(Exception):
    """This attempt failed; another may not."""


class MissingError(SadclError):
    """The server has no such file."""


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
