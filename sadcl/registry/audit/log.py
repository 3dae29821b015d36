"""Who decided what, when and why in this project: a chained file, which is committed."""

import getpass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sadcl import layout, processes
from sadcl.registry.audit import hash_chain


def append(entry: dict[str, Any], root: Path = Path(".")) -> None:
    """Add a decision: whole, chained and on the disk when this returns.

    Raises:
        SadclError: the last line is not one of ours.
    """
    hash_chain.append(root / layout.AUDIT_LOG, entry)


def entries(root: Path = Path(".")) -> list[dict[str, Any]]:
    """All decisions, oldest first, without the chain.

    Raises:
        SadclError: a line is not one of ours.
    """
    parsed = hash_chain.parse(hash_chain.lines(root / layout.AUDIT_LOG), root / layout.AUDIT_LOG)
    return [{k: v for k, v in entry.items() if k != hash_chain.BEFORE} for entry in parsed]


def broken(root: Path = Path(".")) -> list[int]:
    """Numbers of the lines, from 1, whose digest of the line before does not hold."""
    return hash_chain.broken(hash_chain.lines(root / layout.AUDIT_LOG), root / layout.AUDIT_LOG)


def user(root: Path = Path(".")) -> str:
    """Who sits here: git's name and address, or the login name."""
    name, email = (processes.git(root, "config", key).stdout.strip() for key in ("user.name", "user.email"))
    return f"{name} <{email}>" if name and email else name or getpass.getuser()


def now() -> str:
    """The time of a decision, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
