"""Files that are whole or absent: one way to write, one way to take a digest, one way to lock.

A file appears under its name only when every byte is on the disk (written beside, flushed,
renamed); a directory likewise. A process killed at any moment leaves the old one or the new one.
"""

import csv
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

_NO_ROOM = {
    errno.ENOSPC: "The disk is full",
    errno.EDQUOT: "Your share of the disk is used up",
    errno.EFBIG: "The file is larger than this disk or this process may have",
}


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yield a path to write to; it takes the name ``path`` when the block ends without an error.

    Raises:
        SadclError: the disk is full or refuses; nothing is left behind.
    """
    target = Path(path)
    with translate_disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = _name_beside(target)
        try:
            yield beside
            _flush(beside)
            os.replace(beside, target)
            _flush(target.parent)
        finally:
            beside.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: str | Path) -> Iterator[Path]:
    """Yield an empty directory; it replaces ``path`` when the block ends without an error.

    Raises:
        SadclError: the disk is full or refuses; nothing is left behind.
    """
    target = Path(path)
    with translate_disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = _name_beside(target)
        beside.mkdir()
        try:
            yield beside
            for file in beside.rglob("*"):
                _flush(file)
            old = _name_beside(target)
            if target.exists():
                os.replace(target, old)
            os.replace(beside, target)
            _flush(target.parent)
            shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(beside, ignore_errors=True)


@contextmanager
def translate_disk_errors(target: Path, after: str = "nothing was half-written") -> Iterator[None]:
    """Say in a sentence that the disk is full.

    Args:
        target: what is being written.
        after: what is there now.

    Raises:
        SadclError: the disk is full, or a limit is reached.
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


def require_room(folder: Path, needed: int, doing: str) -> None:
    """Look for room on the disk before something large.

    Args:
        folder: on the disk; it exists.
        needed: bytes.
        doing: what they are needed for, for the message.

    Raises:
        SadclError: there is too little.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise SadclError(
            f"There is too little room for {doing}: {needed / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free",
            where=folder,
            fix="Free some space (`sadcl clean`) and run this again",
        )


def link(file: Path, target: Path) -> None:
    """Give a file a second name, by a hard link where the disk allows it, else as a copy."""
    with suppress(OSError):  # another disk, or one that knows no hard links
        os.link(file, target, follow_symlinks=False)
        return
    shutil.copyfile(file, target)


def write_text(path: str | Path, text: str) -> None:
    """Write ``text`` as UTF-8, whole or not at all."""
    with atomic_write(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write ``value`` as JSON with sorted keys: the same value gives the same bytes.

    Raises:
        ValueError: a NaN or an infinity; JSON has no words for them, so say ``null`` instead.
    """
    write_text(path, json_text(value))


def write_csv(path: str | Path, rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Write rows as CSV, numbers with six digits; without rows the header stands alone."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)
    write_text(path, text.getvalue())


def json_text(value: Any) -> str:
    """What ``write_json`` writes."""
    return json.dumps(value, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"


def read_json(
    path: str | Path,
    fix: str = "Make it again with `dvc repro`",
    object_hook: Callable[[dict[str, Any]], Any] | None = None,
) -> Any:
    """Read a JSON file.

    Args:
        path: the file.
        fix: what to do when it can't be read.
        object_hook: called with each object as soon as it is parsed; what it returns stands in its place.

    Raises:
        SadclError: it is missing, or not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"), object_hook=object_hook)
    except FileNotFoundError:
        raise SadclError("The file is missing", where=path, fix=fix) from None
    except (ValueError, RecursionError) as error:  # a ValueError also where a number has thousands of digits
        raise SadclError(f"The file is not JSON: {error}", where=path, fix=fix) from None
    except OSError as error:
        raise SadclError(f"The file can't be read: {error.strerror}", where=path, fix=fix) from None


def digest(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(value: Any) -> str:
    """SHA-256 of a value that JSON can hold, independent of the order of keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def digest_of_ids(ids: Iterable[str]) -> str:
    """SHA-256 of ids, sorted, a line each: which images a list holds, whatever their order."""
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()


@contextmanager
def open_locked(path: str | Path, wait: bool = True) -> Iterator[IO[bytes]]:
    """Open a file to read and append, locked against other processes; the kernel unlocks it when this one ends.

    Args:
        path: the file; it is created where it is missing.
        wait: until another process unlocks it.

    Raises:
        BlockingIOError: another process has locked it, and ``wait`` is off.
    """
    with open(path, "a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield file


@contextmanager
def lock(path: str | Path, doing: str) -> Iterator[None]:
    """Hold the lock file ``path``; the kernel gives it back when the process ends, however it ends.

    Args:
        path: the lock file; it stays, and its presence means nothing.
        doing: what only one process may do at a time, for the message.

    Raises:
        SadclError: another process holds it.
    """
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stream = stack.enter_context(open_locked(file, wait=False))
        except BlockingIOError:
            raise SadclError(
                f"Another process ({file.read_text().strip() or 'pid unknown'}) is already {doing}",
                where=file,
                fix="Wait for it, or end it, and run this again",
            ) from None
        with suppress(OSError):  # on a full disk the lock holds all the same, and only its message is poorer
            os.truncate(file, 0)
            os.write(stream.fileno(), f"pid {os.getpid()}".encode())
        yield


def _name_beside(target: Path) -> Path:
    handle, name = tempfile.mkstemp(prefix=f".{target.name[:100]}.", suffix=".part", dir=target.parent)
    os.close(handle)
    os.unlink(name)
    return Path(name)


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
