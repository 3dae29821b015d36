"""Rules on files of registered versions: nobody writes into or above them, however the path is spelled."""

import asyncio
import posixpath
from typing import Any
from urllib.parse import unquote, urlsplit

from flask import request
from mlflow.exceptions import MlflowException
from starlette.types import ASGIApp, Receive, Scope, Send

from sadcl.guard import mlflow_internals
from sadcl.guard.mlflow_internals import Refused
from sadcl.registry.artifacts import EVIDENCE

ROUTE = "/mlflow-artifacts/artifacts/"


class UploadMiddleware:
    """ASGI middleware for uploads, which MLflow answers outside Flask, where no rule of ours would run."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403, or pass the request on."""
        if scope["type"] == "http" and scope["method"] == "PUT" and ROUTE in scope["path"]:
            try:
                # In a thread: the check reads the database and would block every other request.
                user = scope["state"].get("username", "")
                await asyncio.to_thread(check_path, scope["path"].partition(ROUTE)[2], user)
            except MlflowException as error:
                await mlflow_internals.error_response(error)(scope, receive, send)
                return
        await self.app(scope, receive, send)


def check_path(path: str, user: str) -> None:
    """Refuse to write a path that is in, or above, a registered version's files.

    Reports beside them (model report, card, verdict, settings) may be written by their author, whose model the gate
    judges again.

    Args:
        path: below the root of the artifacts, as the client spelled it.
        user: account that writes.

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


def _check_write(artifact_path: str) -> None:
    check_path(artifact_path, mlflow_internals.current_user())


def _check_multipart(artifact_path: str) -> None:
    """Check both paths of an upload in parts: MLflow appends the name in the body to the path in the address."""
    _check_write(artifact_path)
    body = request.get_json(force=True, silent=True) or {}
    _check_write(posixpath.join(artifact_path, posixpath.basename(str(body.get("path", "")))))


def _check_run_upload() -> None:
    run, path = request.args.get("run_uuid"), request.args.get("path")
    if run and path:  # MLflow itself refuses a request without both
        folder = _below_root(mlflow_internals.run_artifact_uri(run))
        if folder is not None:
            _check_write(posixpath.join(folder, mlflow_internals.safe_path(path)))


def _refuse_presigned() -> None:
    # Such an upload goes straight to the storage, past every rule of this server.
    raise Refused("This server signs no upload addresses; send the file to the server itself")


RULES: dict[tuple[str, str], Any] = {
    (f"{ROUTE}<path:artifact_path>", "PUT"): _check_write,
    (f"{ROUTE}<path:artifact_path>", "DELETE"): _check_write,
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
