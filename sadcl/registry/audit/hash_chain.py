"""Hash chain: an append-only file of JSON lines, each with the digest of the line before it.

An edited or deleted line breaks the chain behind it. A tail that was cut off does not show in the file alone, but where
a digest of its lines is stored elsewhere.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from sadcl import files
from sadcl.errors import SadclError

BEFORE = "before"
"""Key of the previous line's digest."""
SIGNATURE = "signature"
"""Key of the signature of all else in a line."""
NOT_DONE = "not done"
"""Action of a line about an earlier line whose change failed."""
BEGUN = "ledger begun"
"""Action of the first line of a ledger that was begun although its registry has models."""


def append(path: Path, entry: Mapping[str, Any], sign: Callable[[bytes], Mapping[str, str]] | None = None) -> str:
    """Append a line to the chain; it is on the disk when this returns.

    Args:
        path: the file.
        entry: content of the line.
        sign: called with the line; its result becomes the line's signature. None leaves the line unsigned.

    Returns:
        The digest of the new line.

    Raises:
        SadclError: the last line is not JSON.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.open_locked(path) as file:
        # read under the lock: of two writers, the second follows on the first one's line
        lines = _whole_lines(file)
        parse(lines[-1:], path)
        # before the signature: it covers the position of the line too
        chained = {**entry, BEFORE: _last_digest(lines)}
        line = encode(chained if sign is None else {**chained, SIGNATURE: sign(encode(chained))})
        file.write(line + b"\n")
        file.flush()
        # flushed to the disk: the guard makes the change only after this, so that none is ever missing in the ledger
        os.fsync(file.fileno())
    return hashlib.sha256(line).hexdigest()


def encode(entry: Mapping[str, Any]) -> bytes:
    """Line of an entry, without its end; equal entries have equal lines."""
    return json.dumps(entry, sort_keys=True, ensure_ascii=False).encode()


def lines(path: Path) -> list[bytes]:
    """Complete lines of a file; none where the file is missing."""
    return split(path.read_bytes()) if path.exists() else []


def split(text: bytes) -> list[bytes]:
    """Complete lines of a text; a line that a killed process left half-written does not count."""
    return text[: text.rfind(b"\n") + 1].split(b"\n")[:-1]


def parse(lines: list[bytes], where: object) -> list[dict[str, Any]]:
    """Parse lines into entries, with the digest of the previous line.

    Raises:
        SadclError: a line is not a JSON object.
    """
    try:
        values = [json.loads(line) for line in lines]
    except (ValueError, RecursionError):
        values = [None]
    if not all(isinstance(value, dict) for value in values):
        raise SadclError("A line of the audit log is not JSON", where=where, fix="Restore the file with git")
    return values


def broken(lines: list[bytes], where: object) -> list[int]:
    """Numbers, from 1, of the lines that do not hold the digest of the previous line."""
    # the first line follows on nothing; the last digest belongs to a line that is not there yet
    pairs = zip(parse(lines, where), ["", *digests(lines)], strict=False)
    return [n for n, (entry, before) in enumerate(pairs, 1) if entry.get(BEFORE) != before]


def done(lines: list[bytes], where: object) -> list[dict[str, Any]]:
    """Entries whose change was made, without those about changes that failed."""
    return without_failed(zip(parse(lines, where), digests(lines), strict=True))


def without_failed(entries: Iterable[tuple[dict[str, Any], str]]) -> list[dict[str, Any]]:
    """Entries whose change was made, of entries with the digests of their lines."""
    pairs = list(entries)
    # the file is only appended to, so a change that failed is revoked by a later line
    undone = {entry.get("line") for entry, _ in pairs if entry.get("what") == NOT_DONE}
    return [entry for entry, digest in pairs if digest not in undone and entry.get("what") != NOT_DONE]


def digests(lines: list[bytes]) -> list[str]:
    """SHA-256 of each line."""
    return [hashlib.sha256(line).hexdigest() for line in lines]


def digest(text: str) -> str:
    """Short form of a text that is too long for a line."""
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _last_digest(lines: list[bytes]) -> str:
    return hashlib.sha256(lines[-1]).hexdigest() if lines else ""


def _whole_lines(file: IO[bytes]) -> list[bytes]:
    file.seek(0)
    text = file.read()
    end = text.rfind(b"\n") + 1
    if end < len(text):  # a killed process left a part of a line, which the next one must not continue
        file.truncate(end)
    return split(text)
