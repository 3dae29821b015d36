"""The server's ledger: who changed what, when, from what to what. It only grows."""

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

FILE = "SADCL_LEDGER"
"""Environment of the server: where the file is."""


def path() -> Path:
    """Where the ledger is.

    Raises:
        SadclError: the environment does not say.
    """
    if not os.environ.get(FILE):
        raise SadclError("The guard has no ledger to write", fix=f"Name a file in {FILE}, or start by `sadcl up`")
    found = Path(os.environ[FILE])
    found.parent.mkdir(parents=True, exist_ok=True)
    return found


@contextmanager
def changing() -> Iterator[None]:
    """One change at a time, over all threads and workers."""
    with files.open_locked(path().with_suffix(".lock")):
        yield


def append_entry(entry: Entry, who: str | None = None) -> str:
    """Append a line in the name of ``who``, or of who asks; its digest.

    Raises:
        MlflowException: it can't be written, so the change must not be made.
    """
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    try:
        return hash_chain.append(path(), {"time": now, "who": who or mlflow_internals.user(), **entry})
    except (OSError, ValueError, SadclError) as error:
        raise MlflowException(f"The server's ledger can't be written, so nothing is changed: {error}") from None


def serve(app: Flask) -> None:
    """Let everybody with an account read it."""

    def read() -> Response:
        file = path()
        return Response(file.read_bytes() if file.exists() else b"", mimetype="application/jsonl")

    app.add_url_rule(LEDGER, "sadcl_ledger", read, methods=["GET"])
    mlflow_internals.auth.BEFORE_REQUEST_VALIDATORS[LEDGER, "GET"] = lambda: True
