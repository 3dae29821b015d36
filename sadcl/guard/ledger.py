"""Ledger of the server: account, time and content of each change, signed. It only grows."""

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
from sadcl.guard.mlflow_internals import Refused
from sadcl.registry.audit import hash_chain, signatures
from sadcl.registry.audit.signatures import ACCOUNT, INTRODUCED, PUBLIC_KEY, ROOT_INTRODUCED, SERVER
from sadcl.registry.identity import LEDGER
from sadcl.signing.key_folder import KeyFolder
from sadcl.signing.keys import PrivateKey

Entry = dict[str, Any]

PATH_VARIABLE = "SADCL_LEDGER"
"""Environment of the server: path of the ledger."""
KEYS = "keys"
"""Folder of the private keys, beside the ledger."""


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
    """Append a line in the name of ``user``, by default the present account, and sign it with that account's key.

    Returns:
        Digest of the line.

    Raises:
        MlflowException: the line can't be written or signed, so the change must not be made.
    """
    account = mlflow_internals.current_user() if user is None else user
    # Its lines would look like those of the server itself.
    if user is None and account == SERVER:
        raise Refused(f"The name of the account {SERVER} is reserved")
    try:
        if _is_empty(path()) and mlflow_internals.has_models():  # the file is gone: one of its first lines says so
            _append(SERVER, {"what": hash_chain.BEGUN}, introduce_root_key())
        return _append(account, entry, _signing_key(account))
    # A ValueError: half of a surrogate pair in a name can't be encoded.
    except (OSError, ValueError, SadclError) as error:
        raise MlflowException(f"The server can't write its ledger, so it changes nothing: {error}") from None


def _is_empty(file: Path) -> bool:
    return not file.exists() or file.stat().st_size == 0


def introduce_root_key() -> PrivateKey:
    """The server's root key; at its first use it is created and introduced by a line.

    Raises:
        SadclError: the ledger is signed, and its root key is gone.
    """
    return _root_key(_introduced())


def _root_key(introduced: signatures.Introduced) -> PrivateKey:
    if introduced.root is None:
        key = _keys().create()
        _append(SERVER, {"what": ROOT_INTRODUCED, PUBLIC_KEY: key.public.text}, key)
        return key
    known = _keys().find(introduced.root)
    if known is None:  # with another key nobody could tell this ledger from a forged one
        raise SadclError(
            f"The root key {introduced.root} of the ledger is gone", where=_keys().path, fix="Restore it from a backup"
        )
    return known


def _signing_key(account: str) -> PrivateKey:
    """Key of an account; at its first use it is created and introduced by a line, which the root key signs."""
    introduced = _introduced()
    root = _root_key(introduced)
    if account == SERVER:
        return root
    fingerprint = introduced.accounts.get(account)
    key = None if fingerprint is None else _keys().find(fingerprint)
    if key is None:
        key = _keys().create()
        _append(SERVER, {"what": INTRODUCED, ACCOUNT: account, PUBLIC_KEY: key.public.text}, root)
    return key


def _introduced() -> signatures.Introduced:
    return signatures.introduced(hash_chain.lines(path()))


def _append(account: str, entry: Entry, key: PrivateKey) -> str:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return hash_chain.append(path(), {"time": now, "who": account, **entry}, signatures.signer(key))


def _keys() -> KeyFolder:
    return KeyFolder(path().with_name(KEYS))


def add_route(app: Flask) -> None:
    """Add the page that shows the ledger to every account."""

    def read() -> Response:
        file = path()
        return Response(file.read_bytes() if file.exists() else b"", mimetype="application/jsonl")

    app.add_url_rule(LEDGER, "sadcl_ledger", read, methods=["GET"])
    # Where MLflow fails closed it refuses routes without a validator; this one needs no right beside the log-in.
    mlflow_internals.auth.BEFORE_REQUEST_VALIDATORS[LEDGER, "GET"] = lambda: True
