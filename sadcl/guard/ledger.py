"""Ledger of the server: account, time and content of each change. It only grows."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flask import Flask, Response
from mlflow.exceptions import MlflowException

from sadcl import files
from sadcl.errors import SadclError
from sadcl.guard import mlflow_internals
from sadcl.registry.audit import hash_chain
from sadcl.registry.identity import LEDGER

Entry = dict[str, Any]

PATH_VARIABLE = "SADCL_LEDGER"
"""Environment of the server: path of the ledger."""
SERVER = "the server"
"""Name in the ledger where no account asked for a line."""


def path() -> Path:
    """Path of the ledger; its folder is created.

    Raises:
        SadclError: the environment does not name it.
    """
    if not os.environ.get(PATH_VARIABLE):
        raise SadclError(
            "The guard has no ledger to write", fix=f"Name a file in {PATH_VARIABLE}, or start the server by `sadcl up`"
        )
    file = Path(os.environ[PATH_VARIABLE])
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


@contextmanager
def exclusive() -> Iterator[None]:
    """Allow one change at a time over all threads and workers; a lock of this process would not see the others."""
    # A file of its own: appending locks the ledger, which would wait forever for a lock that this one held on it.
    with files.open_locked(path().with_suffix(".lock")):
        yield


def append_entry(entry: Entry, user: str | None = None) -> str:
    """Append a line in the name of ``user``, by default the present account.

    Returns:
        Digest of the line.

    Raises:
        MlflowException: the line can't be written, so the change must not be made.
    """
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    try:
        if _is_empty(path()) and mlflow_internals.has_models():  # the file is gone: its first line says so
            hash_chain.append(path(), {"time": now, "who": SERVER, "what": hash_chain.BEGUN})
        return hash_chain.append(path(), {"time": now, "who": user or mlflow_internals.current_user(), **entry})
    # A ValueError: half of a surrogate pair in a name can't be encoded.
    except (OSError, ValueError, SadclError) as error:
        raise MlflowException(f"The server can't write its ledger, so it changes nothing: {error}") from None


def _is_empty(file: Path) -> bool:
    return not file.exists() or file.stat().st_size == 0


def add_route(app: Flask) -> None:
    """Add the page that shows the ledger to every account."""

    def read() -> Response:
        file = path()
        return Response(file.read_bytes() if file.exists() else b"", mimetype="application/jsonl")

    app.add_url_rule(LEDGER, "sadcl_ledger", read, methods=["GET"])
    # Where MLflow fails closed it refuses routes without a validator; this one needs no right beside the log-in.
    mlflow_internals.auth.BEFORE_REQUEST_VALIDATORS[LEDGER, "GET"] = lambda: True
