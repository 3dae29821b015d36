"""Authors of versions: the server stamps them, since a client can forge its own name."""

import os
import re
from collections.abc import Iterator
from typing import Any

from flask import g, has_request_context
from mlflow.entities.model_registry import ModelVersion
from mlflow.store.model_registry.dbmodels.models import SqlModelVersion
from mlflow.store.tracking.dbmodels.models import SqlRun
from sqlalchemy import event

from sadcl.guard import mlflow_internals
from sadcl.guard.mlflow_internals import Refused
from sadcl.registry import lookup, schema

SELF_REVIEW = "SADCL_ALLOW_SELF_REVIEW"
"""Environment of the server: 1 lets authors decide on their own models, for a team of one person."""

# Numbers only: the author of an alias would depend on the moment.
_COPY = re.compile(r"models:/(?P<name>[^/@]+)/(?P<number>[0-9]+)")


def stamp_authors() -> None:
    """Write the present account into each new version and run, in the transaction that inserts it."""
    # In the database's own event, no route or client of MLflow can go past it.
    for table in (SqlModelVersion, SqlRun):
        event.listen(table, "before_insert", _stamp_author)


def require_second_person(version: ModelVersion) -> None:
    """Enforce the four-eyes rule: authors of a model, or of what it is a copy of, do not decide on it.

    Raises:
        Refused: the present account is an author, or an author is unknown.
    """
    if os.environ.get(SELF_REVIEW) == "1":
        return
    names, uri = list(authors(version)), lookup.model_uri(version)
    if "" in names:  # from before the server had accounts: it might be anybody's, also the reviewer's own
        raise Refused(f"The author of {uri} is unknown; register the model again through this server")
    if mlflow_internals.current_user() in names:
        raise Refused(f"{mlflow_internals.current_user()} made {uri}; another person has to decide on it")


def require_author(version: ModelVersion) -> None:
    """Allow only its author to describe a version; versions in production stay as they were copied.

    Raises:
        Refused: the present account is not the author.
    """
    if schema.protected(version.name) or mlflow_internals.current_user() != version.user_id:
        raise Refused(f"Only the author of {lookup.model_uri(version)} may change what is written about it")


def authors(version: ModelVersion) -> Iterator[str]:
    """Authors of a version, of its run, and of the versions that it is a copy of; empty where one is unknown.

    Raises:
        Refused: a version that it is a copy of is gone.
    """
    visited: list[ModelVersion] = []
    while version not in visited:  # a loop of sources must not hang the server
        visited.append(version)
        source = copy_source(version)
        # A copy in production is a reference to a numbered version: the reviewer who copies makes nothing.
        if source is None or not schema.protected(version.name):
            yield version.user_id or ""
            run_author = mlflow_internals.run_author(version.run_id)
            if run_author is not None:
                yield run_author
        if source is None:
            return
        version = source


def copy_source(version: ModelVersion) -> ModelVersion | None:
    """Version that this one is a copy of; None where it is no copy.

    Raises:
        Refused: that version is gone.
    """
    parts = _COPY.fullmatch(version.source or "")
    if parts is None:
        return None
    source = mlflow_internals.version(parts["name"], parts["number"])
    if source is None:
        raise Refused(f"{version.source} is gone, so the author of {lookup.model_uri(version)} is unknown")
    return source


def _stamp_author(_mapper: Any, _connection: Any, row: Any) -> None:
    # Outside a request the server itself writes: its rows have no author, rather than the client's choice.
    row.user_id = g.get("mlflow_authenticated_user") if has_request_context() else None
