"""Atomic writes, JSON and CSV files, digests and locks.

A file or directory is written under a temporary name, flushed to the disk and renamed. A process that is killed at any
moment leaves the old one or the new one, never a part.
"""

import csv
import ctypes
import errno
import fcntl
import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from sadcl.errors import SadclError


class LockedError(SadclError):
    """Another process has a lock."""


_NO_ROOM = {
    errno.ENOSPC: "The disk is full",
    errno.EDQUOT: "Your disk quota is used up",
    errno.EFBIG: "The file is larger than the file system or the process limit allows",
}


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path; the file there replaces ``path`` when the block ends without an error.

    Raises:
        SadclError: the path is refused, the disk is full, or a size limit is reached; no file is left behind.
    """
    target = Path(path)
    with translate_disk_errors(target):
        temporary = _temporary_path(target)
        try:
            yield temporary
            _flush(temporary)
            with _refusals(target):
                os.replace(temporary, target)
            _flush(target.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: str | Path) -> Iterator[Path]:
    """Yield an empty temporary directory; it replaces ``path`` when the block ends without an error.

    Raises:
        SadclError: the path is refused, the disk is full, or a size limit is reached; no directory is left behind.
    """
    target = Path(path)
    with translate_disk_errors(target), temporary_directory(near=target) as temporary:
        yield temporary
        for file in temporary.rglob("*"):
            _flush(file)
        with _refusals(target):
            if not target.exists():
                os.replace(temporary, target)
            elif not target.is_dir():
                raise NotADirectoryError
            # rename() replaces no directory that has files; the old one is removed with the temporary name
            elif not _exchange(temporary, target):
                os.replace(target, old := _temporary_path(target))
                try:
                    os.replace(temporary, target)
                except BaseException:
                    os.replace(old, target)
                    raise
                shutil.rmtree(old, ignore_errors=True)
        _flush(target.parent)


@contextmanager
def temporary_directory(near: Path) -> Iterator[Path]:
    """Yield an empty directory in the folder of a path, which is removed when the block ends.

    Its name is that of a temporary file: `sadcl clean` removes it after a kill.
    """
    temporary = _temporary_path(near)
    temporary.mkdir()
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def translate_disk_errors(target: Path, after: str = "no partial file was written") -> Iterator[None]:
    """Convert errors of a full disk to ``SadclError``.

    Args:
        target: the file that is being written.
        after: the state of the file after the error, for the message.

    Raises:
        SadclError: the disk is full, or a quota or size limit is reached.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise SadclError(
                f"{_NO_ROOM[error.errno]}; {after}",
                where=target,
                fix="Free some space (`sadcl clean`) and run this again",
            ) from error
        raise


def is_disk_full(error: BaseException) -> bool:
    """Whether an error says that a disk is full or a quota used up; a limit on the size of a file is neither."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def require_room(folder: Path, needed: int, doing: str) -> None:
    """Check the free space of a disk before a large write.

    Args:
        folder: an existing folder on the disk.
        needed: bytes.
        doing: purpose of the space, for the message.

    Raises:
        SadclError: fewer than ``needed`` bytes are free.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise SadclError(
            f"There is too little room for {doing}: {needed / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free",
            where=folder,
            fix="Free some space (`sadcl clean`) and run this again",
        )


def require_folder(folder: Path) -> None:
    """Check before long work that a folder for its results is one, or can be created.

    Raises:
        SadclError: a file is in its place, or there is no permission.
    """
    existing = next(path for path in (folder, *folder.resolve().parents) if os.path.exists(path))
    with _refusals(folder):
        if not existing.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not os.access(existing, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def link(file: Path, target: Path) -> None:
    """Create a hard link to a file, or a copy where the file system has no hard links."""
    with suppress(OSError):  # another disk, or a file system without hard links
        os.link(file, target, follow_symlinks=False)
        return
    shutil.copyfile(file, target)


def write_text(path: str | Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write ``value`` as JSON with sorted keys, so that equal values give equal bytes.

    Raises:
        ValueError: the value has a NaN or an infinity, which JSON can't express; use None.
    """
    write_text(path, json_text(value))


def write_csv(path: str | Path, rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Write rows as CSV with a header; floats have six significant digits."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)
    write_text(path, text.getvalue())


def json_text(value: Any) -> str:
    """JSON text of a value with sorted keys, as ``write_json`` writes it."""
    return json.dumps(value, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"


def read_json(
    path: str | Path,
    fix: str = "Run `dvc repro` to write it again",
    object_hook: Callable[[dict[str, Any]], Any] | None = None,
) -> Any:
    """Read a JSON file in UTF-8, with or without a byte order mark.

    Args:
        path: the file.
        fix: what to do when it can't be read.
        object_hook: called with each parsed object; its result replaces the object.

    Raises:
        SadclError: the file is missing, can't be read, or is not JSON.
    """
    with json_errors(path, fix):
        return json.loads(Path(path).read_text(encoding="utf-8-sig"), object_hook=object_hook)


@contextmanager
def json_errors(path: str | Path, fix: str) -> Iterator[None]:
    """Convert the errors of reading and parsing a JSON file.

    Raises:
        SadclError: the file is missing, can't be read, or is not JSON.
    """
    try:
        yield
    except FileNotFoundError:
        raise SadclError("The file is missing", where=path, fix=fix) from None
    except (ValueError, RecursionError) as error:  # ValueError also for numbers with thousands of digits
        raise SadclError(f"The file is not JSON: {error}", where=path, fix=fix) from None
    except OSError as error:
        raise SadclError(f"The file can't be read: {error.strerror}", where=path, fix=fix) from None


def digest(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_digest(text: str) -> bool:
    """Whether a text is a SHA-256 in hexadecimal, as these functions write it."""
    return len(text) == 64 and set(text) <= set("0123456789abcdef")


def digest_of_text(text: str) -> str:
    """SHA-256 of a text in UTF-8, in hexadecimal; a lone surrogate, which no file has, counts as well."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def digest_of(value: Any) -> str:
    """SHA-256 of a JSON value in hexadecimal, independent of the order of keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return digest_of_text(text)


def digest_of_code(*places: str) -> str:
    """Digest of this package's Python code in some of its folders and files, wherever the package lies."""
    home = Path(__file__).parent
    roots = [home / place for place in places]
    sources = sorted(path for root in roots for path in ([root] if root.is_file() else root.rglob("*.py")))
    return digest_of({str(path.relative_to(home)): digest(path) for path in sources})


def digest_of_ids(ids: Iterable[str]) -> str:
    """SHA-256 of the sorted ids, one per line, in hexadecimal: identifies a set of images, in any order."""
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()


@contextmanager
def open_locked(path: str | Path, wait: bool = True) -> Iterator[IO[bytes]]:
    """Open a file to read and append, with an exclusive lock; the kernel releases it when the process ends.

    Args:
        path: the file; created if it is missing.
        wait: whether to wait until another process releases the lock.

    Raises:
        BlockingIOError: another process has the lock, and ``wait`` is off.
    """
    with open(path, "a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield file


@contextmanager
def lock(path: str | Path, doing: str, wait: bool = False) -> Iterator[None]:
    """Hold an exclusive lock on a lock file; the kernel releases it when the process ends, even by a kill.

    Args:
        path: the lock file; it remains afterwards, and its presence means nothing.
        doing: the work that only one process may do at a time, for the message.
        wait: whether to wait until another process releases the lock.

    Raises:
        LockedError: another process has the lock, whose pid the message gives, and ``wait`` is off.
        SadclError: the path is refused.
    """
    file = Path(path)
    with _refusals(file):
        file.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stream = stack.enter_context(open_locked(file, wait))
        except BlockingIOError:
            raise LockedError(
                f"Another process ({file.read_text().strip() or 'pid unknown'}) is already {doing}",
                where=file,
                fix="Wait for it, or stop it, and run this again",
            ) from None
        except OSError:
            with _refusals(file):
                raise
        with suppress(OSError):  # on a full disk the lock works too; only the pid in its message is missing
            os.truncate(file, 0)
            os.write(stream.fileno(), f"pid {os.getpid()}".encode())
        yield


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two paths of one file system in one step; False where the system can't."""
    try:
        rename = ctypes.CDLL(None).renameat2
    except AttributeError:  # another C library
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(rename(here, os.fsencode(first), here, os.fsencode(second), exchange) == 0)


def _temporary_path(target: Path) -> Path:
    """Choose a free name in the target's folder, which is created."""
    # in bytes: file systems count them, and a letter has up to four
    start = os.fsencode(target.name)[:100].decode(errors="ignore")
    with _refusals(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{start}.", suffix=".part", dir=target.parent)
    os.close(handle)
    os.unlink(name)
    return Path(name)


@contextmanager
def _refusals(target: Path) -> Iterator[None]:
    """Convert the refusal of a path: no permission, a file in place of a folder or the reverse, a name too long."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise
        in_place = isinstance(error, FileExistsError | NotADirectoryError)
        reason = "a file is in the place of a folder" if in_place else error.strerror
        raise SadclError(
            f"The file can't be written: {reason}", where=target, fix="Choose another path, or correct this one"
        ) from error


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as one, names joined by dots; lists stay whole."""
    if not isinstance(value, dict):
        return {prefix: value}
    pairs = [flatten(inner, f"{prefix}.{key}" if prefix else str(key)) for key, inner in value.items()]
    return {key: inner for pair in pairs for key, inner in pair.items()}
