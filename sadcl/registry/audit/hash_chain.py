"""Files that only grow: JSON lines, each with the digest of the line before it.

A line that was edited or taken out breaks the chain behind it. A tail that was cut off does not show in the
file alone: whoever noted a line's digest elsewhere misses it.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from sadcl import files
from sadcl.errors import SadclError

BEFORE = "before"
"""The key that holds the digest of the line before."""
NOT_DONE = "not done"
"""What the server notes of a line whose change was not made."""


def append(path: Path, entry: Mapping[str, Any]) -> str:
    """Add a line: whole, chained and on the disk when this returns.

    Returns:
        The digest of the new line.

    Raises:
        SadclError: the last line is not one of ours.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.open_locked(path) as file:
        lines = _whole_lines(file)
        parse(lines[-1:], path)
        line = json.dumps({**entry, BEFORE: _last(lines)}, sort_keys=True, ensure_ascii=False).encode()
        file.write(line + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return hashlib.sha256(line).hexdigest()


def lines(path: Path) -> list[bytes]:
    """The whole lines of a file; none where it is not there."""
    return split(path.read_bytes()) if path.exists() else []


def split(text: bytes) -> list[bytes]:
    """The whole lines of a text; one that a killed process left half-written is as if never written."""
    return text[: text.rfind(b"\n") + 1].split(b"\n")[:-1]


def parse(lines: list[bytes], where: object) -> list[dict[str, Any]]:
    """The entries in lines, chain included.

    Raises:
        SadclError: a line is not one of ours.
    """
    try:
        values = [json.loads(line) for line in lines]
    except ValueError:
        values = [None]
    if not all(isinstance(value, dict) for value in values):
        raise SadclError("A line of the audit is not JSON", where=where, fix="Bring the file back with git")
    return values


def broken(lines: list[bytes], where: object) -> list[int]:
    """Numbers of the lines, from 1, whose digest of the line before does not hold."""
    pairs = zip(parse(lines, where), ["", *digests(lines)], strict=False)
    return [n for n, (entry, before) in enumerate(pairs, 1) if entry.get(BEFORE) != before]


def done(lines: list[bytes], where: object) -> list[dict[str, Any]]:
    """The entries without those that were not done after they had been noted."""
    entries = parse(lines, where)
    undone = {entry["line"] for entry in entries if entry.get("what") == NOT_DONE}
    pairs = zip(entries, digests(lines), strict=True)
    return [entry for entry, digest in pairs if digest not in undone and entry.get("what") != NOT_DONE]


def digests(lines: list[bytes]) -> list[str]:
    """SHA-256 of each line."""
    return [hashlib.sha256(line).hexdigest() for line in lines]


def digest(text: str) -> str:
    """What stands in a line for a text that is too long for it."""
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _last(lines: list[bytes]) -> str:
    return hashlib.sha256(lines[-1]).hexdigest() if lines else ""


def _whole_lines(file: IO[bytes]) -> list[bytes]:
    file.seek(0)
    text = file.read()
    whole = text.rfind(b"\n") + 1
    if whole < len(text):
        file.truncate(whole)
    return split(text)
