"""Who decided what, when and why: JSON lines, each with the digest of the line before it.

The file is committed. A line that was changed or taken out in the middle breaks the chain behind it;
a tail that was cut off does not show here (the registry's own tags do show it).
"""

import fcntl
import getpass
import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from sadcl.errors import SadclError

FILE = Path("data/audit.jsonl")
CHAIN = "before"
"""The key that holds the digest of the line before."""


def append(entry: dict[str, Any], root: Path = Path(".")) -> None:
    """Add a line: whole, chained and on the disk when this returns.

    Raises:
        SadclError: the last line is not one of ours.
    """
    path = root / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path) as file:
        lines = _whole_lines(file)
        _parse(lines[-1:], path)
        line = json.dumps({**entry, CHAIN: _digest(lines)}, sort_keys=True, ensure_ascii=False)
        file.write(line.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def entries(root: Path = Path(".")) -> list[dict[str, Any]]:
    """All decisions, oldest first, without the chain.

    Raises:
        SadclError: a line is not one of ours.
    """
    return [{k: v for k, v in entry.items() if k != CHAIN} for entry in _parse(_read(root / FILE), root / FILE)]


def broken(root: Path = Path(".")) -> list[int]:
    """Numbers of the lines, from 1, whose digest of the line before does not hold."""
    lines = _read(root / FILE)
    parsed = _parse(lines, root / FILE)
    return [n + 1 for n, entry in enumerate(parsed) if entry.get(CHAIN) != _digest(lines[:n])]


def user(root: Path = Path(".")) -> str:
    """Who decides: git's name and address, or the login name."""
    asked = [subprocess.run(["git", "config", key], cwd=root, capture_output=True, text=True, check=False)
             for key in ("user.name", "user.email")]  # fmt: skip
    name, email = (answer.stdout.strip() for answer in asked)
    return f"{name} <{email}>" if name and email else name or getpass.getuser()


def now() -> str:
    """The time of a decision, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@contextmanager
def _alone(path: Path) -> Iterator[IO[bytes]]:
    with open(path, "a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def _whole_lines(file: IO[bytes]) -> list[bytes]:
    """The lines so far; one that a killed process left half-written is taken off first."""
    file.seek(0)
    text = file.read()
    whole = text[: text.rfind(b"\n") + 1]
    if len(whole) < len(text):
        file.truncate(len(whole))
    return whole.splitlines()


def _read(path: Path) -> list[bytes]:
    text = path.read_bytes() if path.exists() else b""
    return text[: text.rfind(b"\n") + 1].splitlines()


def _parse(lines: list[bytes], path: Path) -> list[dict[str, Any]]:
    try:
        values = [json.loads(line) for line in lines]
    except ValueError:
        values = [None]
    if not all(isinstance(value, dict) for value in values):
        raise SadclError("A line of the audit is not JSON", where=path, fix="Bring the file back with git")
    return values


def _digest(lines: list[bytes]) -> str:
    return hashlib.sha256(lines[-1]).hexdigest() if lines else ""
