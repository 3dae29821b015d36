"""Bytes of registered versions: nobody writes into or above them, however the path is spelled."""

import asyncio
import posixpath
import re
from typing import Any
from urllib.parse import unquote, urlsplit

from flask import request
from mlflow.exceptions import MlflowException
from starlette.types import ASGIApp, Receive, Scope, Send

from sadcl.registry.guard import inside
from sadcl.registry.guard.inside import Refused
from sadcl.registry.stored import EVIDENCE

ROUTE = "/mlflow-artifacts/artifacts/"
CLOSED = re.compile(r"/(ajax-)?api/[^/]+/(mlflow/)?(assistant|jobs|mcp-servers|gateway)|/gateway|/v1/")
"""What MLflow answers outside Flask, to anybody with an account; its assistant runs commands for them."""


class Uploads:
    """Uploads, which MLflow answers outside Flask; log-in and rights were checked before."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403, or hand on."""
        if CLOSED.match(scope.get("path", "")):
            await inside.answer(Refused("This server has no such service"))(scope, receive, send)
            return
        if scope["type"] == "http" and scope["method"] == "PUT" and ROUTE in scope["path"]:
            try:
                await asyncio.to_thread(refuse, scope["path"].partition(ROUTE)[2])
            except MlflowException as error:
                await inside.answer(error)(scope, receive, send)
                return
        await self.app(scope, receive, send)


def refuse(path: str) -> None:
    """Refuse a path below the artefacts' root that is in, or above, a registered version's files.

    Raises:
        MlflowException: it is, or is no safe path.
    """
    asked = posixpath.normpath(inside.safe_path(path)).strip("/")
    for kept in _kept():
        if _within(asked, kept) or _within(kept, asked):
            raise Refused(f"{asked} belongs to a registered version, whose files are never written again")


def _sends_in_parts(artifact_path: str) -> None:
    refuse(artifact_path)
    sent = request.get_json(force=True, silent=True) or {}
    refuse(posixpath.join(artifact_path, posixpath.basename(str(sent.get("path", "")))))


def _uploads_to_a_run() -> None:
    run, path = request.args.get("run_uuid"), request.args.get("path")
    if run and path:  # MLflow refuses the others
        place = _below_root(inside.run_home(run))
        if place is not None:
            refuse(posixpath.join(place, inside.safe_path(path)))


def _signed() -> None:
    raise Refused("This server signs no addresses for uploads: nobody could guard them")


RULES: dict[tuple[str, str], Any] = {
    (f"{ROUTE}<path:artifact_path>", "PUT"): lambda artifact_path: refuse(artifact_path),
    (f"{ROUTE}<path:artifact_path>", "DELETE"): lambda artifact_path: refuse(artifact_path),
    ("/mlflow-artifacts/mpu/create/<path:artifact_path>", "POST"): _sends_in_parts,
    ("/mlflow-artifacts/mpu/complete/<path:artifact_path>", "POST"): _sends_in_parts,
    ("/mlflow/upload-artifact", "POST"): _uploads_to_a_run,
    ("/mlflow/artifacts/presigned-upload-url", "POST"): _signed,
}


def _kept() -> set[str]:
    """Where the files of registered versions lie: the model, and what its verdict stands on."""
    models, homes = inside.places()
    found = (_below_root(place) for place in [*models, *(f"{home}/{EVIDENCE}" for home in homes)])
    return {place for place in found if place is not None}


def _below_root(address: str) -> str | None:
    """The path of an artefact below the root that this server keeps; None where it is kept elsewhere."""
    parts = urlsplit(address)
    return posixpath.normpath(unquote(parts.path).strip("/")) if parts.scheme == "mlflow-artifacts" else None


def _within(path: str, folder: str) -> bool:
    return folder == "." or path == folder or path.startswith(f"{folder}/")
