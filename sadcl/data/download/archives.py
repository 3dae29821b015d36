"""Archives that others made, unpacked without trusting them: zip, tar, tar.gz.

Only plain files and folders come out, only below the folder given, only up to a bound of bytes; what an archive says
about its own sizes counts for nothing. Owners, modes and times of change are not taken over.
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
LEAST = 4 << 30
"""What any archive may unpack to, in bytes; a larger one may have ``TIMES`` its own size."""
TIMES = 10

_PIECE = 1 << 20
_BLOCK = 4096
"""What a file costs beside its bytes, so that a million empty ones fill no disk either."""
_HEADER = 16 << 20
_DAMAGED = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, gzip.BadGzipFile, EOFError, struct.error, RuntimeError,
    NotImplementedError, ValueError, OverflowError, UnicodeError,
)  # fmt: skip
_FIX = "Get it again, or from elsewhere; nothing of it was kept"


@dataclass(frozen=True)
class _Member:
    name: str
    kind: str
    """``file``, ``folder``, or what else it is, in words."""
    open: Callable[[], AbstractContextManager[IO[bytes]]]


@dataclass
class Unpacked:
    """What came out of an archive.

    Attributes:
        files: how many.
        bytes: of all of them.
        clashes: pairs of names that differ only by case: one of them is lost on systems that don't tell them apart.
    """

    files: int
    bytes: int
    clashes: list[tuple[str, str]]


def is_archive(name: str) -> bool:
    """Whether a file of this name is unpacked, rather than taken as it is."""
    return name.lower().endswith(ENDINGS)


def unpack(
    archive: Path,
    folder: Path,
    *,
    keep: tuple[str, ...] = ("*",),
    drop: str = "",
    into: str = "",
    most: int | None = None,
) -> Unpacked:
    """Unpack into a folder that the caller throws away if this fails (``files.writing_directory``).

    Args:
        archive: named ``.zip``, ``.tar``, ``.tar.gz`` or ``.tgz``.
        folder: what is there already stays; the same file once more is fine, another of its name is not.
        keep: patterns of names; ``*`` also matches ``/``. What matches none is checked and left out.
        drop: a top folder that the unpacked names do without.
        into: where below ``folder`` the files go.
        most: bound on the unpacked bytes; without one, ``TIMES`` the archive's size, and at least ``LEAST``.

    Raises:
        SadclError: it is damaged, too large, or holds what it should not: a path that leaves the folder, a link, a
            device, two different files of one name.
    """
    bound = max(LEAST, TIMES * archive.stat().st_size) if most is None else most
    out = Unpacked(0, 0, [])
    seen: dict[str, str] = {}
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
            if seen.setdefault(folded, name) != name:
                out.clashes.append((seen[folded], name))
            out.files += 1
            with member.open() as source:
                out.bytes += _write(source, folder / name, bound - out.bytes - _BLOCK * out.files, archive)
    except OSError as error:
        if error.errno is not None and not isinstance(error, (FileExistsError, NotADirectoryError, IsADirectoryError)):
            raise
        raise SadclError(f"The archive can't be unpacked: {error}", where=archive, fix=_FIX) from None
    except _DAMAGED as error:
        raise SadclError(f"The archive is damaged: {error or 'it ends too soon'}", where=archive, fix=_FIX) from None
    return out


def claimed_bytes(archive: Path, keep: tuple[str, ...] = ("*",)) -> int:
    """What an archive says that it unpacks to: enough to look for room beforehand, and for nothing else.

    Raises:
        SadclError: it is damaged.
    """
    if not archive.name.lower().endswith(".zip"):
        return archive.stat().st_size
    try:
        with zipfile.ZipFile(archive) as opened:
            kept = [i for i in opened.infolist() if any(fnmatchcase(i.filename, pattern) for pattern in keep)]
    except _DAMAGED as error:
        raise SadclError(f"The archive is damaged: {error}", where=archive, fix=_FIX) from None
    return sum(info.file_size for info in kept)


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
            for _ in iter(lambda: file.read(_PIECE), b""):  # its checksum stands at the very end
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
    guarded: Any = _ShortReads(file)
    with tarfile.open(fileobj=guarded, mode="r:") as opened:
        for info in opened:
            opened.members = []  # type: ignore[attr-defined]  # it would keep every one in memory
            kind = "file" if info.isreg() else "folder" if info.isdir() else "a device or special file"
            if info.issym() or info.islnk():
                kind = "a link"
            yield _Member(info.name, kind, lambda info=info: _extracted(opened, info))  # type: ignore[misc]
        if guarded.last != tarfile.NUL * tarfile.BLOCKSIZE:  # tarfile takes a broken header for the end
            raise tarfile.ReadError("it ends too soon, or one of its headers is broken")


@contextmanager
def _extracted(opened: tarfile.TarFile, info: tarfile.TarInfo) -> Iterator[IO[bytes]]:
    source = opened.extractfile(info)
    assert source is not None
    with source:
        yield source


class _ShortReads:
    """A file of which nobody reads much at a time: a header that claims to be gigabytes fills no memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.last = b""
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        if size < 0 or size > _HEADER:
            raise tarfile.ReadError(f"one of its headers claims {size:,} bytes")
        self.last = self._file.read(size)
        return self.last


def _plain_parts(name: str, archive: Path) -> list[str]:
    """The parts of a name that stays below the folder, on every system."""
    plain = name.replace("\\", "/")
    parts = [part for part in plain.split("/") if part not in ("", ".")]
    if plain.startswith("/") or ".." in parts or plain[1:2] == ":":
        raise SadclError(f"The archive holds a path that leaves its folder, {name!r}", where=archive, fix=_FIX)
    if any(letter < " " or "\ud800" <= letter <= "\udfff" for letter in name):
        raise SadclError(f"The archive holds a name that can't be used, {name!r}", where=archive, fix=_FIX)
    if any(len(part.encode()) > 255 for part in parts) or len(plain.encode()) > 1000:
        raise SadclError(f"The archive holds a name that is too long, {name[:40]!r}...", where=archive, fix=_FIX)
    return parts


def _write(source: IO[bytes], target: Path, left: int, archive: Path) -> int:
    """Write one file, and return its bytes. It may be there already if it is the same."""
    target.parent.mkdir(parents=True, exist_ok=True)
    again = target.is_file()
    with open(target, "rb" if again else "xb") as file:
        written, piece = 0, b"?"
        while piece:
            piece = source.read(_PIECE)
            written += len(piece)
            if written > left:
                words = "The archive unpacks to far more than it should, and may be meant to fill the disk"
                raise SadclError(words, where=archive, fix=_FIX)
            if not again:
                file.write(piece)
            elif file.read(len(piece) or 1) != piece:
                raise SadclError(f"Two different files have the name {target.name!r}", where=archive, fix=_FIX)
    return written
