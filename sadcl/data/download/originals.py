"""Original files of a data set: origin, size, checksum, and the record of each."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sadcl import files
from sadcl.data.download import archives
from sadcl.data.download.datasets import Original
from sadcl.data.download.http import MissingError, RetryPolicy, digests, download, length, without_password
from sadcl.errors import SadclError
from sadcl.progress import say

Known = dict[str, dict[str, Any]]
"""Entries of the record, by file name."""


@dataclass(frozen=True)
class DownloadedFile:
    """An original file on the disk, checked.

    Attributes:
        original: its entry in the catalogue.
        path: on the disk.
        sha256: in hexadecimal.
        removable: it was downloaded here, so that it may be deleted; a file of the user's folder may not.
        origin: the address or the file that it came from.
    """

    original: Original
    path: Path
    sha256: str
    removable: bool
    origin: str

    def entry(self) -> dict[str, Any]:
        """Entry for the record of fetched files."""
        checked_by = "nothing: recorded at this first fetch"
        if self.original.checksum:
            checked_by = f"{self.original.checksum} ({self.original.known_from})"
        return {
            "file": self.original.file, "from": self.origin, "bytes": self.path.stat().st_size, "sha256": self.sha256,
            "checked_by": checked_by,
        }  # fmt: skip


def read_record(record: Path) -> Known:
    """Entries of earlier fetches; none where the record is missing.

    Raises:
        SadclError: the file is not such a record.
    """
    if not record.exists():
        return {}
    fix = "Restore it from git, or remove it if these files were never fetched"
    try:
        entries = files.read_json(record, fix=fix)["files"]
        return {str(e["file"]): {**e, "sha256": str(e["sha256"]), "bytes": int(e["bytes"])} for e in entries}
    except (TypeError, KeyError, ValueError):
        raise SadclError("This is not a record of fetched files", where=record, fix=fix) from None


def source_of(original: Original, mirror: str) -> Path | str:
    """Path or address of an original file; empty where neither is known."""
    if not mirror:
        return original.url
    if mirror.startswith(("http://", "https://")):
        return f"{mirror.rstrip('/')}/{quote(original.file)}"
    return Path(mirror) / original.file


def is_available(original: Original, mirror: str) -> bool:
    """Whether to look for a file: one without an address of its own may be missing from a mirror."""
    source = source_of(original, mirror)
    return bool(original.url) or (source.is_file() if isinstance(source, Path) else bool(source))


def expected_bytes(original: Original, mirror: str, patience: RetryPolicy) -> int:
    """Size of a file in bytes, from the catalogue, the disk or its server; 0 where it is unknown."""
    source = source_of(original, mirror)
    if isinstance(source, Path):
        return source.stat().st_size if source.is_file() else 0
    return (original.size if original.size is not None else length(source, patience)) or 0


def get(original: Original, downloads: Path, mirror: str, known: Known, patience: RetryPolicy) -> DownloadedFile | None:
    """Download one file and check it.

    Args:
        original: the file.
        downloads: folder for downloads.
        mirror: folder or address that has the files; empty for their own addresses.
        known: entries of the record; the file has to agree with its own.
        patience: with the server.

    Returns:
        The file; None where a mirror lacks one that has no address of its own.

    Raises:
        SadclError: it is unavailable, or its size, checksum or kind is wrong.
    """
    entry = known.get(original.file, {})
    size = original.size if original.size is not None else entry.get("bytes")
    checksums = [text for text in (original.checksum, f"sha256:{entry['sha256']}" if entry else "") if text]
    source = source_of(original, mirror)
    if isinstance(source, Path):
        if not source.is_file():
            raise SadclError("The folder lacks a file", where=source, fix="Put the file there, or fetch without --from")
        return DownloadedFile(
            original, source, _check(source, size, checksums, original, remove=False), False, str(source)
        )
    path = downloads / original.file
    if not path.exists():
        say(f"{original.file}: {without_password(source)}")
        try:
            download(source, path, size=size, checked=bool(checksums), patience=patience)
        except MissingError:
            if original.url:
                raise
            say(f"  The mirror has no {original.file}")
            return None
    return DownloadedFile(
        original, path, _check(path, size, checksums, original, remove=True), True, without_password(source)
    )


def _check(path: Path, size: int | None, checksums: list[str], original: Original, *, remove: bool) -> str:
    """SHA-256 of a file whose size, checksum and kind are right; a wrong download is removed."""
    actual = {name: f"{name}:{value}" for name, value in digests(path).items()}
    wrong = [text for text in checksums if text not in actual.values()]
    where = original.known_from or "the record of the first fetch"
    if size is not None and path.stat().st_size != size:
        problem = f"{original.file} has {path.stat().st_size:,} bytes, but it should have {size:,}"
    elif wrong:
        kind = wrong[0].split(":")[0]
        problem = f"{original.file} has the wrong checksum: {actual[kind]}, but expected {wrong[0]}"
    elif not archives.is_archive(original.file) and not _is_list(path):
        problem, where = f"{original.file} should be a list, but is a web page or damaged", str(path)
    else:
        return actual["sha256"].removeprefix("sha256:")
    if remove:
        path.unlink()
        problem += "; it was removed"
    raise SadclError(problem, where=where, fix="Run this again, or give another mirror with --from")


def _is_list(path: Path) -> bool:
    """Whether a file is text or JSON; some servers send a web page in place of a missing file."""
    if path.suffix == ".json":
        try:
            json.loads(path.read_bytes())
        except (ValueError, RecursionError):
            return False
        return True
    with open(path, "rb") as file:
        return not file.read(1000).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")
