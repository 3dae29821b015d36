"""A set's original files: where each comes from, whether it is what it should be, and the record of that."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sadcl import files
from sadcl.data.download import archives
from sadcl.data.download.datasets import Original
from sadcl.data.download.http import MissingError, RetryPolicy, bare, digests, download, length
from sadcl.errors import SadclError
from sadcl.progress import say

Known = dict[str, dict[str, Any]]
"""Entries of a record, by file."""


@dataclass(frozen=True)
class DownloadedFile:
    """An original that is here and checked.

    Attributes:
        original: what it is.
        path: where it lies.
        sha256: in hexadecimal.
        ours: we fetched it, so that we may remove it.
        origin: the address or the file that it came from.
    """

    original: Original
    path: Path
    sha256: str
    ours: bool
    origin: str

    def entry(self) -> dict[str, Any]:
        """What the record says of it."""
        by = "nothing: recorded at this first fetch"
        if self.original.checksum:
            by = f"{self.original.checksum} ({self.original.known_from})"
        return {
            "file": self.original.file, "from": self.origin, "bytes": self.path.stat().st_size, "sha256": self.sha256,
            "checked_by": by,
        }  # fmt: skip


def recorded(record: Path) -> Known:
    """What earlier fetches found.

    Raises:
        SadclError: it is no such record.
    """
    if not record.exists():
        return {}
    fix = "Restore it from git, or remove it if these files were never fetched"
    try:
        entries = files.read_json(record, fix=fix)["files"]
        return {str(e["file"]): {**e, "sha256": str(e["sha256"]), "bytes": int(e["bytes"])} for e in entries}
    except (TypeError, KeyError, ValueError):
        raise SadclError("It is no record of fetched files", where=record, fix=fix) from None


def place(original: Original, mirror: str) -> Path | str:
    """Where a file comes from: a path, an address, or an empty address."""
    if not mirror:
        return original.url
    if mirror.startswith(("http://", "https://")):
        return f"{mirror.rstrip('/')}/{quote(original.file)}"
    return Path(mirror) / original.file


def may_be_had(original: Original, mirror: str) -> bool:
    """Whether to look for it: one without an address of its own may be missing from a mirror."""
    source = place(original, mirror)
    return bool(original.url) or (source.is_file() if isinstance(source, Path) else bool(source))


def expected_bytes(original: Original, mirror: str, patience: RetryPolicy) -> int:
    """Of the file, as it is known, lies there or its server says; 0 where nobody knows."""
    source = place(original, mirror)
    if isinstance(source, Path):
        return source.stat().st_size if source.is_file() else 0
    return (original.size if original.size is not None else length(source, patience)) or 0


def get(original: Original, kept: Path, mirror: str, known: Known, patience: RetryPolicy) -> DownloadedFile | None:
    """One file, checked; None where a mirror lacks one that has no address of its own.

    Raises:
        SadclError: it can't be had, or is not what it should be.
    """
    entry = known.get(original.file, {})
    size = original.size if original.size is not None else entry.get("bytes")
    wanted = [text for text in (original.checksum, f"sha256:{entry['sha256']}" if entry else "") if text]
    source = place(original, mirror)
    if isinstance(source, Path):
        if not source.is_file():
            raise SadclError("The folder lacks a file", where=source, fix="Put it there, or fetch without --from")
        return DownloadedFile(original, source, _check(source, size, wanted, original, ours=False), False, str(source))
    path = kept / original.file
    if not path.exists():
        say(f"{original.file}: {bare(source)}")
        try:
            download(source, path, size=size, checked=bool(wanted), patience=patience)
        except MissingError:
            if original.url:
                raise
            say(f"  {original.file} is not there")
            return None
    return DownloadedFile(original, path, _check(path, size, wanted, original, ours=True), True, bare(source))


def _check(path: Path, size: int | None, wanted: list[str], original: Original, *, ours: bool) -> str:
    """SHA-256 of a file that is what it should be."""
    found = {name: f"{name}:{value}" for name, value in digests(path).items()}
    wrong = [text for text in wanted if text not in found.values()]
    where = original.known_from or "the record of the first fetch"
    if size is not None and path.stat().st_size != size:
        words = f"{original.file} has {path.stat().st_size:,} bytes, but it should have {size:,}"
    elif wrong:
        kind = wrong[0].split(":")[0]
        words = f"{original.file} is not the file it should be: {found[kind]}, but expected {wrong[0]}"
    elif not archives.is_archive(original.file) and not _is_list(path):
        words, where = f"{original.file} is a web page or damaged, and not the list that it should be", str(path)
    else:
        return found["sha256"].removeprefix("sha256:")
    if ours:
        path.unlink()
        words += "; it was removed"
    raise SadclError(words, where=where, fix="Run this again, or name another place with --from")


def _is_list(path: Path) -> bool:
    """Whether a text or JSON file is one: servers answer with a page of theirs where they have no file."""
    if path.suffix == ".json":
        try:
            json.loads(path.read_bytes())
        except (ValueError, RecursionError):
            return False
        return True
    with open(path, "rb") as file:
        return not file.read(1000).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")
