"""Addresses of databases: the file that one names, and whether its content lasts."""

import tempfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sadcl.errors import SadclError

TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm", "/run")
"""Folders that a system empties, beside the one that Python uses."""


def require_lasting(address: str, content: str, variable: str) -> str:
    """Refuse a database in memory, which forgets everything at the end of the process.

    Args:
        address: as SQLAlchemy takes it.
        content: plural noun for what the database holds, for the message.
        variable: environment variable with the address.

    Returns:
        The address.
    """
    scheme, _, rest = address.partition("://")
    path, _, query = rest.partition("?")
    in_memory = path in ("", "/") or ":memory:" in path or "mode=memory" in query
    if _is_sqlite(scheme) and in_memory:
        raise SadclError(
            f"A database in memory forgets all {content} at the end of each command",
            where=address,
            fix=f"Set {variable} to the address of a file or a server, or unset it",
        )
    return address


def without_login(address: str) -> str:
    """Address for a message: without user name, password and options."""
    scheme, separator, rest = address.partition("://")
    if not separator:
        scheme, rest = "", address
    if _is_sqlite(scheme) or rest.startswith("/"):  # a file: what looks like a login is a part of its path
        return address
    if "?" in rest.rpartition("@")[0]:  # an option with a password, of which a part would be taken for the host
        return f"{scheme}{separator}..."
    return f"{scheme}{separator}{rest.rpartition('@')[2].partition('?')[0]}"


def sqlite_file(address: str) -> Path | None:
    """File of an SQLite database; None for any other address."""
    scheme, _, rest = address.partition("://")
    return Path(rest.partition("?")[0][1:]).resolve() if _is_sqlite(scheme) else None


def fingerprint(file: Path) -> list[list[int]]:
    """Identify the content of an SQLite file: equal before and after if no transaction was committed in between.

    Returns:
        SQLite's own counter of changes, and size and time of change of the file, its log and its journal.

    Raises:
        OSError: the file can't be read.
    """
    with file.open("rb") as stream:
        counter = stream.read(28)[24:]
    parts = [file, *(file.with_name(file.name + end) for end in ("-wal", "-journal"))]
    stats = [part.stat() for part in parts if part.exists()]
    return [list(counter), *([stat.st_size, stat.st_mtime_ns, stat.st_ino] for stat in stats)]


def local_path(address: str) -> Path | None:
    """File or folder of a store on this machine: SQLite, or a folder by its path or `file:` address; None elsewhere."""
    if (file := sqlite_file(address)) is not None:
        return file
    parts = urlsplit(address)
    return Path(unquote(parts.path)).resolve() if parts.scheme in ("", "file") else None


def is_temporary(path: Path) -> bool:
    """Whether a path lies in a folder that a system empties, at the latest when it starts."""
    folders = {Path(folder).resolve() for folder in (tempfile.gettempdir(), *TEMPORARY)}
    return any(path.resolve().is_relative_to(folder) for folder in folders)


def _is_sqlite(scheme: str) -> bool:
    return scheme.lower().partition("+")[0] == "sqlite"
