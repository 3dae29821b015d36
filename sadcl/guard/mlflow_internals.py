"""What the guard leans on of MLflow's insides: here and nowhere else, since another release may move it."""

from collections.abc import Callable
from typing import Any, TypeVar

from flask import g
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED
from mlflow.server import auth as _auth
from mlflow.server import handlers as _handlers
from mlflow.store.model_registry.dbmodels.models import SqlModelVersion
from mlflow.store.tracking.dbmodels.models import SqlRun
from mlflow.utils import uri as _uri
from sqlalchemy import func
from starlette.responses import Response

auth: Any = _auth
handlers: Any = _handlers
uri: Any = _uri
in_words: Callable[[Callable[..., Any]], Callable[..., Any]] = _handlers.catch_mlflow_exception
"""Around a view: MLflow's exceptions become answers."""

Message = TypeVar("Message")


class Refused(MlflowException):
    """403, in words that the client shows."""

    def __init__(self, words: str) -> None:
        super().__init__(words, PERMISSION_DENIED)


def asked(message: type[Message]) -> Message:
    """The request, read as MLflow itself will read it."""
    found: Message = handlers._get_request_message(message())
    return found


def answer(error: MlflowException) -> Response:
    """What MLflow answers where this is raised, for the part of it that is no Flask."""
    told: Any = error
    return Response(told.serialize_as_json(), told.get_http_status_code(), media_type="application/json")


def safe_path(path: str) -> str:
    """A path of an artefact as MLflow will use it, decoded as often as it was encoded.

    Raises:
        MlflowException: it leaves the root.
    """
    return str(uri.validate_path_is_safe(path))


def user() -> str:
    """Who is logged in."""
    return str(g.mlflow_authenticated_user)


def is_administrator() -> bool:
    """Whether who is logged in may do everything."""
    return bool(auth.sender_is_admin())


def may_write(model: str) -> bool:
    """Whether who is logged in has EDIT on a registered model."""
    try:
        return bool(auth._get_registered_model_or_prompt_permission(model).can_update)
    except MlflowException:  # no such model
        return False


def model_exists(name: str) -> bool:
    """Whether there is a registered model of this name."""
    try:
        _registry().get_registered_model(name)
    except MlflowException:
        return False
    return True


def experiment_exists(name: str) -> bool:
    """Whether there is an experiment of this name, a deleted one included."""
    return _tracking().get_experiment_by_name(name) is not None


def version(name: str, number: str) -> ModelVersion | None:
    """A version; None where there is none."""
    try:
        found: ModelVersion = _registry().get_model_version(name, number)
    except MlflowException:
        return None
    return found


def version_with_alias(name: str, alias: str) -> ModelVersion | None:
    """The version that has an alias; None where nobody has."""
    try:
        found: ModelVersion = _registry().get_model_version_by_alias(name, alias)
    except MlflowException:
        return None
    return found


def last_version(name: str) -> int:
    """The highest number that MLflow gave to a model's versions, deleted ones included; 0 where there were none."""
    with _registry().ManagedSessionMaker() as session:
        return session.query(func.max(SqlModelVersion.version)).filter(SqlModelVersion.name == name).scalar() or 0


def is_registered(run_id: str) -> bool:
    """Whether a version came from a run."""
    with _registry().ManagedSessionMaker() as session:
        return bool(session.query(SqlModelVersion.version).filter(SqlModelVersion.run_id == run_id).first())


def run_user(run_id: str | None) -> str | None:
    """Who made a run; None where there is no such run."""
    try:
        return str(_tracking().get_run(run_id).info.user_id or "") if run_id else None
    except MlflowException:
        return None


def run_of_model(model_id: str) -> str | None:
    """The run that a logged model came from; None where there is no such model."""
    try:
        return str(_tracking().get_logged_model(model_id).source_run_id or "") if model_id else None
    except MlflowException:
        return None


def run_home(run_id: str) -> str:
    """The address of a run's artefacts.

    Raises:
        MlflowException: there is no such run.
    """
    return str(_tracking().get_run(run_id).info.artifact_uri)


def places() -> tuple[list[str], dict[str, str]]:
    """Addresses of the files of all registered versions; those of their runs' artefacts, and who made each run."""
    with _registry().ManagedSessionMaker() as session:
        rows = session.query(SqlModelVersion.storage_location, SqlModelVersion.source, SqlModelVersion.run_id).all()
    runs = {run for _, _, run in rows if run}
    with _tracking().ManagedSessionMaker() as session:
        found = session.query(SqlRun.artifact_uri, SqlRun.user_id).filter(SqlRun.run_uuid.in_(runs)).all()
    homes = {home: maker or "" for home, maker in found if home}
    return [location or source or "" for location, source, _ in rows], homes


def _registry() -> Any:
    return handlers._get_model_registry_store()


def _tracking() -> Any:
    return handlers._get_tracking_store()
