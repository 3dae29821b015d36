"""Safe unpacking of untrusted archives: zip, tar, tar.gz.

Only regular files and folders are written, only below the target folder, and only up to a bound in bytes that no claim
of the archive can raise. Owners, modes and modification times are ignored.

The data filter of ``tarfile`` (PEP 706) would replace nothing here: it strips absolute paths and allows links where
this module refuses both, it bounds no bytes, and zip has no such filter, so the same checks would remain.
"""

import gzip
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, Any, BinaryIO

from sadcl.errors import SadclError
from sadcl.progress import track

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz")
MIN_BOUND = 4 << 30
"""Bytes that any archive may unpack to; a larger one may reach ``MAX_RATIO`` times its own size."""
MAX_RATIO = 10

_PIECE = 1 << 20
_BLOCK = 4096
"""Bytes that each file adds to the bound's use: a million empty files can't fill a disk either."""
_MAX_HEADER = 16 << 20
_DAMAGED = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, gzip.BadGzipFile, EOFError, struct.error, RuntimeError,
    NotImplementedError, ValueError, OverflowError, UnicodeError,
)  # fmt: skip
_FIX = "Download it again or from another mirror; nothing was unpacked"


@dataclass(frozen=True)
class _Member:
    name: str
    kind: str
    """``file``, ``folder``, or the phrase for anything else (``a link``)."""
    open: Callable[[], AbstractContextManager[IO[bytes]]]


@dataclass
class Unpacked:
    """Summary of an unpacked archive.

    Attributes:
        files: their number.
        bytes: their total size.
        clashes: pairs of names that differ only by case; a case-insensitive file system keeps one of each pair.
    """

    files: int
    bytes: int
    clashes: list[tuple[str, str]]


def is_archive(name: str) -> bool:
    """Whether a file of this name is an archive, by its suffix."""
    return name.lower().endswith(ENDINGS)


def unpack(
    archive: Path,
    folder: Path,
    *,
    keep: tuple[str, ...] = ("*",),
    drop: str = "",
    into: str = "",
    bound: int | None = None,
) -> Unpacked:
    """Unpack into a folder that the caller removes if this fails (``files.atomic_directory``).

    Args:
        archive: named ``.zip``, ``.tar``, ``.tar.gz`` or ``.tgz``.
        folder: its files stay; an identical file may come again, a different file of the same name may not.
        keep: patterns of names; ``*`` also matches ``/``. Other members are checked and left out.
        drop: top folder to strip from the names.
        into: folder below ``folder`` that the files go to.
        bound: most bytes to unpack; by default ``MAX_RATIO`` times the archive's size, at least ``MIN_BOUND``.

    Raises:
        SadclError: the archive is damaged or too large, or holds a path that leaves the folder, a link, a device, or
            two different files of one name.
    """
    bound = max(MIN_BOUND, MAX_RATIO * archive.stat().st_size) if bound is None else bound
    unpacked = Unpacked(0, 0, [])
    names: dict[str, str] = {}
    try:
        for member in track(_members(archive), f"unpacking {archive.name}", unit="files"):
            parts = _plain_parts(member.name, archive)
            if member.kind not in ("file", "folder"):
                raise SadclError(f"The archive holds {member.kind}, {member.name!r}", where=archive, fix=_FIX)
            if member.kind == "folder" or not any(fnmatchcase("/".join(parts), pattern) for pattern in keep):
                continue
            name = "/".join(parts[1:] if len(parts) > 1 and parts[0] == drop else parts)
            name = f"{into}/{name}" if into else name
            folded = unicodedata.normalize("NFC", name).casefold()
            if names.setdefault(folded, name) != name:
                unpacked.clashes.append((names[folded], name))
            unpacked.files += 1
            with member.open() as source:
                unpacked.bytes += _write(
                    source, folder / name, bound - unpacked.bytes - _BLOCK * unpacked.files, archive
                )
    except OSError as error:
        if error.errno is not None and not isinstance(error, (FileExistsError, NotADirectoryError, IsADirectoryError)):
            raise
        raise SadclError(f"The archive can't be unpacked: {error}", where=archive, fix=_FIX) from None
    except _DAMAGED as error:
        raise SadclError(f"The archive is damaged: {error or 'it ends too early'}", where=archive, fix=_FIX) from None
    return unpacked


def claimed_bytes(archive: Path, keep: tuple[str, ...] = ("*",)) -> int:
    """Unpacked size that an archive claims, in bytes: good for a check of free space and for no decision of safety.

    Raises:
        SadclError: the archive is damaged.
    """
    if not archive.name.lower().endswith(".zip"):
        return archive.stat().st_size
    try:
        with zipfile.ZipFile(archive) as opened:
            infos = [i for i in opened.infolist() if any(fnmatchcase(i.filename, pattern) for pattern in keep)]
    except _DAMAGED as error:
        raise SadclError(f"The archive is damaged: {error}", where=archive, fix=_FIX) from None
    return sum(info.file_size for info in infos)


def _members(archive: Path) -> Iterator[_Member]:
    name = archive.name.lower()
    if name.endswith(".zip"):
        with zipfile.ZipFile(archive) as opened:
            yield from _zip_members(opened)
    elif name.endswith(".tar"):
        with open(archive, "rb") as file:
            yield from _tar_members(file)
    else:
        with gzip.open(archive) as file:
            yield from _tar_members(file)
            for _ in iter(lambda: file.read(_PIECE), b""):  # gzip stores its checksum at the very end
                pass


def _zip_members(opened: zipfile.ZipFile) -> Iterator[_Member]:
    for info in opened.infolist():
        if info.flag_bits & 1:
            raise zipfile.BadZipFile(f"{info.filename!r} is encrypted")
        mode = stat.S_IFMT(info.external_attr >> 16)
        kind = "folder" if info.is_dir() else "file"
        if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
            kind = "a link" if mode == stat.S_IFLNK else "a device or special file"
        yield _Member(info.filename, kind, lambda info=info: opened.open(info))  # type: ignore[misc]


def _tar_members(file: Any) -> Iterator[_Member]:
    guarded: Any = _BoundedReads(file)
    with tarfile.open(fileobj=guarded, mode="r:") as opened:
        for info in opened:
            opened.members = []  # type: ignore[attr-defined]  # it keeps every header in memory
            kind = "file" if info.isreg() else "folder" if info.isdir() else "a device or special file"
            if info.issym() or info.islnk():
                kind = "a link"
            yield _Member(info.name, kind, lambda info=info: _extracted(opened, info))  # type: ignore[misc]
        if guarded.last != tarfile.NUL * tarfile.BLOCKSIZE:  # tarfile reads a broken header as the end
            raise tarfile.ReadError("it ends too early, or a header is broken")


@contextmanager
def _extracted(opened: tarfile.TarFile, info: tarfile.TarInfo) -> Iterator[IO[bytes]]:
    source = opened.extractfile(info)
    assert source is not None
    with source:
        yield source


class _BoundedReads:
    """File whose single reads are bounded: a header that claims gigabytes can't fill the memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.last = b""
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        if size < 0 or size > _MAX_HEADER:
            raise tarfile.ReadError(f"a header claims {size:,} bytes")
        self.last = self._file.read(size)
        return self.last


def _plain_parts(name: str, archive: Path) -> list[str]:
    """Split a member's name into parts; the name must stay below the folder on every operating system.

    Raises:
        SadclError: it is absolute, climbs with ``..``, is too long, or holds characters that file names can't have.
    """
    plain = name.replace("\\", "/")
    parts = [part for part in plain.split("/") if part not in ("", ".")]
    if plain.startswith("/") or ".." in parts or plain[1:2] == ":":
        raise SadclError(f"The archive holds a path that leaves its folder, {name!r}", where=archive, fix=_FIX)
    if any(letter < " " or "\ud800" <= letter <= "\udfff" for letter in name):
        raise SadclError(f"The archive holds an invalid name, {name!r}", where=archive, fix=_FIX)
    if any(len(part.encode()) > 255 for part in parts) or len(plain.encode()) > 1000:
        raise SadclError(f"The archive holds a name that is too long, {name[:40]!r}...", where=archive, fix=_FIX)
    return parts


def _write(source: IO[bytes], target: Path, left: int, archive: Path) -> int:
    """Write one file and return its size in bytes; compare instead where the file exists.

    Raises:
        SadclError: it has more than ``left`` bytes, or differs from the file that exists.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    exists = target.is_file()
    with open(target, "rb" if exists else "xb") as file:
        written, piece = 0, b"?"
        while piece:
            piece = source.read(_PIECE)
            written += len(piece)
            if written > left:
                reason = "The archive unpacks to far more than it should, and may be meant to fill the disk"
                raise SadclError(reason, where=archive, fix=_FIX)
            if not exists:
                file.write(piece)
            elif file.read(len(piece) or 1) != piece:
                raise SadclError(f"Two different files have the name {target.name!r}", where=archive, fix=_FIX)
    return written
