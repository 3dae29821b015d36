"""Who made a version: stamped by the server, since what clients send about it can be forged."""

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
"""Environment of the server: 1 lets who made a model decide on it, where one person is all there is."""

_COPY = re.compile(r"models:/(?P<name>[^/@]+)/(?P<number>[0-9]+)")


def stamp() -> None:
    """Write who is logged in into each new version and run, in the transaction that makes it."""
    for table in (SqlModelVersion, SqlRun):
        event.listen(table, "before_insert", _stamped)


def require_another(version: ModelVersion) -> None:
    """Four eyes: whoever made the model, or what it is a copy of, does not decide on it.

    Raises:
        Refused: who is logged in did, or nobody knows who did.
    """
    if os.environ.get(SELF_REVIEW) == "1":
        return
    made, where = list(of(version)), lookup.address(version)
    if "" in made:
        raise Refused(f"Nobody knows who made {where}; register the model anew through this server")
    if mlflow_internals.user() in made:
        raise Refused(f"{mlflow_internals.user()} made {where}; another person has to decide on it")


def require_own(version: ModelVersion) -> None:
    """What is said about a version is said by who made it; in production nothing is said anew.

    Raises:
        Refused: somebody else asks.
    """
    if schema.protected(version.name) or mlflow_internals.user() != version.user_id:
        raise Refused(f"Only who registered {lookup.address(version)} says what the gate found about it")


def of(version: ModelVersion) -> Iterator[str]:
    """Who made a version, the run it came from, and whatever it is a copy of; empty where nobody knows.

    A copy in production is a reference, and the server takes it from numbered versions only: who copies made
    nothing.

    Raises:
        Refused: what it is a copy of is gone.
    """
    seen: list[ModelVersion] = []
    while version not in seen:
        seen.append(version)
        above = copied(version)
        if above is None or not schema.protected(version.name):
            yield version.user_id or ""
            run = mlflow_internals.run_user(version.run_id)
            if run is not None:
                yield run
        if above is None:
            return
        version = above


def copied(version: ModelVersion) -> ModelVersion | None:
    """The version that this one is a copy of; None where it is none.

    Raises:
        Refused: that one is gone.
    """
    parts = _COPY.fullmatch(version.source or "")
    if parts is None:
        return None
    found = mlflow_internals.version(parts["name"], parts["number"])
    if found is None:
        raise Refused(f"{version.source} is gone, and with it who made {lookup.address(version)}")
    return found


def _stamped(_mapper: Any, _connection: Any, made: Any) -> None:
    made.user_id = g.get("mlflow_authenticated_user") if has_request_context() else None
