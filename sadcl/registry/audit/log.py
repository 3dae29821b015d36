"""Audit log of the project: its decisions as a hash chain, in a file that is committed."""

import getpass
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sadcl import layout, processes
from sadcl.registry.audit import hash_chain


def append(entry: dict[str, Any], root: Path = Path(".")) -> None:
    """Append a decision to the log; it is on the disk when this returns.

    Raises:
        SadclError: the last line is not JSON.
    """
    hash_chain.append(root / layout.AUDIT_LOG, entry)


def entries(root: Path = Path(".")) -> list[dict[str, Any]]:
    """All decisions, oldest first, without their digests.

    Raises:
        SadclError: a line is not a JSON object.
    """
    parsed = hash_chain.parse(hash_chain.lines(root / layout.AUDIT_LOG), root / layout.AUDIT_LOG)
    return [{k: v for k, v in entry.items() if k != hash_chain.BEFORE} for entry in parsed]


def broken(root: Path = Path(".")) -> list[int]:
    """Numbers, from 1, of the lines that do not hold the digest of the previous line."""
    return hash_chain.broken(hash_chain.lines(root / layout.AUDIT_LOG), root / layout.AUDIT_LOG)


def user(root: Path = Path(".")) -> str:
    """User of this machine: git's name and address, or the login name."""
    name, email = (processes.git(root, "config", key).stdout.strip() for key in ("user.name", "user.email"))
    if name:
        return f"{name} <{email}>" if email else name
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without an entry in /etc/passwd
        return f"uid {os.getuid()}"


def now() -> str:
    """Present time in UTC, down to seconds, as decisions hold it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
