"""Bytes of registered versions: nobody writes into or above them, however the path is spelled."""

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


class Uploads:
    """Uploads, which MLflow answers outside Flask; log-in and rights were checked before."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403, or hand on."""
        if scope["type"] == "http" and scope["method"] == "PUT" and ROUTE in scope["path"]:
            try:
                await asyncio.to_thread(refuse, scope["path"].partition(ROUTE)[2], scope["state"].get("username", ""))
            except MlflowException as error:
                await mlflow_internals.answer(error)(scope, receive, send)
                return
        await self.app(scope, receive, send)


def refuse(path: str, who: str) -> None:
    """Refuse a path below the artefacts' root that is in, or above, a registered version's files.

    What stands beside them (report, card, verdict, settings) is written anew when the gate judges anew, by who made it.

    Raises:
        MlflowException: it is, or is no safe path.
    """
    asked = posixpath.normpath(mlflow_internals.safe_path(path)).strip("/")
    models, homes = mlflow_internals.places()
    evidence = [f"{home}/{EVIDENCE}" for home in homes]
    if any(_touches(asked, place) for place in [*models, *evidence]):
        raise Refused(f"{asked} belongs to a registered version, whose files are never written again")
    if any(_touches(asked, home) and maker != who for home, maker in homes.items()):
        raise Refused(f"{asked} belongs to a registered version; only who made it writes beside its files")


def _sends_in_parts(artifact_path: str) -> None:
    refuse(artifact_path, mlflow_internals.user())
    sent = request.get_json(force=True, silent=True) or {}
    refuse(posixpath.join(artifact_path, posixpath.basename(str(sent.get("path", "")))), mlflow_internals.user())


def _uploads_to_a_run() -> None:
    run, path = request.args.get("run_uuid"), request.args.get("path")
    if run and path:  # MLflow refuses the others
        place = _below_root(mlflow_internals.run_home(run))
        if place is not None:
            refuse(posixpath.join(place, mlflow_internals.safe_path(path)), mlflow_internals.user())


def _signed() -> None:
    raise Refused("This server signs no addresses for uploads: nobody could guard them")


RULES: dict[tuple[str, str], Any] = {
    (f"{ROUTE}<path:artifact_path>", "PUT"): lambda artifact_path: refuse(artifact_path, mlflow_internals.user()),
    (f"{ROUTE}<path:artifact_path>", "DELETE"): lambda artifact_path: refuse(artifact_path, mlflow_internals.user()),
    ("/mlflow-artifacts/mpu/create/<path:artifact_path>", "POST"): _sends_in_parts,
    ("/mlflow-artifacts/mpu/complete/<path:artifact_path>", "POST"): _sends_in_parts,
    ("/mlflow/upload-artifact", "POST"): _uploads_to_a_run,
    ("/mlflow/artifacts/presigned-upload-url", "POST"): _signed,
}


def _touches(asked: str, address: str) -> bool:
    """Whether a path is in, or above, an address that this server keeps."""
    kept = _below_root(address)
    return kept is not None and (_within(asked, kept) or _within(kept, asked))


def _below_root(address: str) -> str | None:
    """The path of an artefact below the root that this server keeps; None where it is kept elsewhere."""
    parts = urlsplit(address)
    return posixpath.normpath(unquote(parts.path).strip("/")) if parts.scheme == "mlflow-artifacts" else None


def _within(path: str, folder: str) -> bool:
    return folder == "." or path == folder or path.startswith(f"{folder}/")
