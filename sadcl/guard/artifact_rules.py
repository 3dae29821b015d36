"""Rules on files of registered versions: nobody writes into or above them, however the path is spelled.

The ledger gets a line for each file that the author writes or deletes beside them.
"""

import asyncio
import posixpath
from typing import Any
from urllib.parse import unquote, urlsplit

from flask import request
from mlflow.exceptions import MlflowException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sadcl.guard import ledger, mlflow_internals
from sadcl.guard.ledger import Entry
from sadcl.guard.mlflow_internals import Refused
from sadcl.registry.artifacts import EVIDENCE
from sadcl.registry.audit import hash_chain
from sadcl.registry.audit.replay import shortened

ROUTE = "/mlflow-artifacts/artifacts/"
WRITTEN = "file written"


class UploadMiddleware:
    """ASGI middleware for uploads, which MLflow answers outside Flask, where no rule of ours would run."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403, or pass the request on."""
        if scope["type"] != "http" or scope["method"] != "PUT" or ROUTE not in scope["path"]:
            await self.app(scope, receive, send)
            return
        user = scope["state"].get("username", "")
        try:
            # In a thread: the check reads the database and would block every other request.
            line = await asyncio.to_thread(_record_upload, scope["path"].partition(ROUTE)[2], user)
        except MlflowException as error:
            await mlflow_internals.error_response(error)(scope, receive, send)
            return
        done = False

        async def send_and_check(message: Message) -> None:
            nonlocal done
            done = done or (message["type"] == "http.response.start" and message["status"] < 400)
            await send(message)

        try:
            await self.app(scope, receive, send_and_check)
        finally:
            if line and not done:
                await asyncio.to_thread(ledger.append_entry, {"what": hash_chain.NOT_DONE, "line": line}, user)


def _record_upload(path: str, user: str) -> str | None:
    """Check an upload, and append its line to the ledger; None where it needs none.

    The upload itself does not wait for other changes: it takes as long as its client wants.

    Raises:
        MlflowException: the path belongs to a version, or the line can't be written.
    """
    with ledger.exclusive():
        entry = check_path(path, user, WRITTEN)
        return ledger.append_entry(entry, user) if entry else None


def check_path(path: str, user: str, action: str) -> Entry | None:
    """Refuse to write a path that is in, or above, a registered version's files.

    Reports beside them (model report, card, verdict, settings) may be written by their author, whose model the gate
    judges again.

    Args:
        path: below the root of the artifacts, as the client spelled it.
        user: account that writes.
        action: what the ledger calls the change.

    Returns:
        Entry for the ledger; None where the path is not beside a version's files.

    Raises:
        MlflowException: the path belongs to a version, or leaves the root.
    """
    # Normalised: a/./b and a//b reach the same file as a/b.
    target = posixpath.normpath(mlflow_internals.safe_path(path)).strip("/")
    models, run_authors = mlflow_internals.artifact_locations()
    # Evidence is pinned like the model; the reports beside it are not.
    evidence = [f"{run_uri}/{EVIDENCE}" for run_uri in run_authors]
    if any(_overlaps(target, uri) for uri in [*models, *evidence]):
        raise Refused(f"{target} belongs to a registered version, whose files are never written again")
    if any(_overlaps(target, run_uri) and author != user for run_uri, author in run_authors.items()):
        raise Refused(f"{target} belongs to a registered version; only its author may write beside its files")
    touches_run = any(_overlaps(target, run_uri) for run_uri in run_authors)
    return {"what": action, "path": shortened(target)} if touches_run else None


def _check(artifact_path: str, action: str = WRITTEN) -> Entry | None:
    return check_path(artifact_path, mlflow_internals.current_user(), action)


def _check_delete(artifact_path: str) -> Entry | None:
    return _check(artifact_path, "file deleted")


def _check_multipart(artifact_path: str) -> Entry | None:
    """Check both paths of an upload in parts: MLflow appends the name in the body to the path in the address."""
    _check(artifact_path)
    body = request.get_json(force=True, silent=True) or {}
    return _check(posixpath.join(artifact_path, posixpath.basename(str(body.get("path", "")))))


def _check_run_upload() -> Entry | None:
    run, path = request.args.get("run_uuid"), request.args.get("path")
    if not run or not path:  # MLflow itself refuses a request without both
        return None
    folder = _below_root(mlflow_internals.run_artifact_uri(run))
    return None if folder is None else _check(posixpath.join(folder, mlflow_internals.safe_path(path)))


def _refuse_presigned() -> None:
    # Such an upload goes straight to the storage, past every rule of this server.
    raise Refused("This server signs no upload addresses; send the file to the server itself")


RULES: dict[tuple[str, str], Any] = {
    (f"{ROUTE}<path:artifact_path>", "PUT"): _check,
    (f"{ROUTE}<path:artifact_path>", "DELETE"): _check_delete,
    ("/mlflow-artifacts/mpu/create/<path:artifact_path>", "POST"): _check_multipart,
    ("/mlflow-artifacts/mpu/complete/<path:artifact_path>", "POST"): _check_multipart,
    ("/mlflow/upload-artifact", "POST"): _check_run_upload,
    ("/mlflow/artifacts/presigned-upload-url", "POST"): _refuse_presigned,
}


def _overlaps(path: str, uri: str) -> bool:
    """Whether a path is in, or above, an address of this server: deleting a parent deletes the files as well."""
    location = _below_root(uri)
    return location is not None and (_within(path, location) or _within(location, path))


def _below_root(uri: str) -> str | None:
    """Path of an artifact below this server's root; None where another storage holds it."""
    parts = urlsplit(uri)
    return posixpath.normpath(unquote(parts.path).strip("/")) if parts.scheme == "mlflow-artifacts" else None


def _within(path: str, folder: str) -> bool:
    return folder == "." or path == folder or path.startswith(f"{folder}/")
