"""One file over HTTP that may be large, over a line that may be poor: whole and as it should be, or not at all."""

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from sadcl import files
from sadcl.data.partial import MEGABYTE, PartialDownload, TryAgainError, ask, bare
from sadcl.errors import SadclError
from sadcl.progress import say, track

_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "sadcl"}


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
