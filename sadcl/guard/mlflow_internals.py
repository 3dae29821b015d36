"""MLflow's private functions and tables that the guard uses: nowhere else, since another release may move them."""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from flask import g
from mlflow.entities.model_registry import ModelVersion, RegisteredModel
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
answer_errors: Callable[[Callable[..., Any]], Callable[..., Any]] = _handlers.catch_mlflow_exception
"""Decorator of a view: MLflow's exceptions become HTTP responses."""

Message = TypeVar("Message")


class Refused(MlflowException):
    """HTTP 403 with a sentence that the client shows."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, PERMISSION_DENIED)


def parse_request(message: type[Message]) -> Message:
    """The present request as a protobuf message.

    MLflow's own parser reads it: a second parser might see another name or version than the handler acts on.
    """
    request: Message = handlers._get_request_message(message())
    return request


def error_response(error: MlflowException) -> Response:
    """The response that MLflow gives to an error in Flask, for code that runs outside Flask."""
    untyped: Any = error
    return Response(untyped.serialize_as_json(), untyped.get_http_status_code(), media_type="application/json")


def safe_path(path: str) -> str:
    """Decode an artifact path as often as MLflow decodes it, so that no encoding hides where it leads.

    Raises:
        MlflowException: it leaves the root.
    """
    return str(uri.validate_path_is_safe(path))


def current_user() -> str:
    """Name of the account that sent the present request."""
    return str(g.mlflow_authenticated_user)


def is_administrator() -> bool:
    """Whether the present account is an administrator's."""
    return bool(auth.sender_is_admin())


def may_write(model: str) -> bool:
    """Whether the present account has EDIT on a registered model."""
    try:
        return bool(auth._get_registered_model_or_prompt_permission(model).can_update)
    except MlflowException:  # no such model
        return False


def may_write_experiment(name: str) -> bool:
    """Whether the present account has EDIT on an experiment; False where there is no such experiment."""
    experiment = _tracking().get_experiment_by_name(name)
    if experiment is None:
        return False
    return bool(auth._get_experiment_permission(str(experiment.experiment_id), current_user()).can_update)


def model_tags(name: str) -> dict[str, str]:
    """Tags of a registered model; empty where it is missing."""
    try:
        return dict(_registry().get_registered_model(name).tags)
    except MlflowException:
        return {}


def model_exists(name: str) -> bool:
    """Whether a registered model has this name."""
    try:
        _registry().get_registered_model(name)
    except MlflowException:
        return False
    return True


def has_models() -> bool:
    """Whether the registry has a model."""
    return bool(_registry().search_registered_models(max_results=1))


def experiment_exists(name: str) -> bool:
    """Whether an experiment has this name, deleted ones included."""
    return _tracking().get_experiment_by_name(name) is not None


def version(name: str, number: str) -> ModelVersion | None:
    """Version of a registered model by its number; None where it is missing."""
    try:
        entity: ModelVersion = _registry().get_model_version(name, number)
    except MlflowException:
        return None
    return entity


def version_with_alias(name: str, alias: str) -> ModelVersion | None:
    """Version that has an alias; None where no version has."""
    try:
        entity: ModelVersion = _registry().get_model_version_by_alias(name, alias)
    except MlflowException:
        return None
    return entity


def models() -> dict[str, RegisteredModel]:
    """All registered models by name, with their aliases and tags."""
    pages = _all_pages(lambda token: _registry().search_registered_models(page_token=token))
    return {str(model.name): model for model in pages}


def versions(name: str) -> list[ModelVersion]:
    """All versions of a registered model, without deleted ones."""
    pages = _all_pages(lambda token: _registry().search_model_versions(f"name='{name}'", page_token=token))
    return list(pages)


def last_version(name: str) -> int:
    """Highest version number of a model, deleted versions included (MLflow counts on from it); 0 without versions."""
    with _registry().ManagedSessionMaker() as session:
        return session.query(func.max(SqlModelVersion.version)).filter(SqlModelVersion.name == name).scalar() or 0


def is_registered(run_id: str) -> bool:
    """Whether a registered version came from this run."""
    with _registry().ManagedSessionMaker() as session:
        return bool(session.query(SqlModelVersion.version).filter(SqlModelVersion.run_id == run_id).first())


def run_author(run_id: str | None) -> str | None:
    """Account that created a run, empty where it is unknown; None where the run is missing."""
    try:
        return str(_tracking().get_run(run_id).info.user_id or "") if run_id else None
    except MlflowException:
        return None


def source_run(model_id: str) -> str | None:
    """Id of the run that a logged model came from; None where the model is missing."""
    try:
        return str(_tracking().get_logged_model(model_id).source_run_id or "") if model_id else None
    except MlflowException:
        return None


def run_artifact_uri(run_id: str) -> str:
    """Address of a run's artifacts.

    Raises:
        MlflowException: there is no such run.
    """
    return str(_tracking().get_run(run_id).info.artifact_uri)


def artifact_locations() -> tuple[list[str], dict[str, str]]:
    """Addresses of all registered versions' files.

    Returns:
        Addresses of the models; author of each run of a version by the address of its artifacts.
    """
    with _registry().ManagedSessionMaker() as session:
        # Two queries: the stores may be two databases, which can't be joined.
        rows = session.query(SqlModelVersion.storage_location, SqlModelVersion.source, SqlModelVersion.run_id).all()
    runs = {run for _, _, run in rows if run}
    with _tracking().ManagedSessionMaker() as session:
        run_rows = session.query(SqlRun.artifact_uri, SqlRun.user_id).filter(SqlRun.run_uuid.in_(runs)).all()
    authors = {uri: author or "" for uri, author in run_rows if uri}
    # MLflow serves a version from its storage location; older versions have only their source.
    return [location or source or "" for location, source, _ in rows], authors


def _all_pages(search: Callable[[str | None], Any]) -> Iterator[Any]:
    token = None
    while True:
        page = search(token)
        yield from page
        token = page.token
        if not token:
            return


def _registry() -> Any:
    # At each call: MLflow creates its stores with the first request, after this module is imported.
    return handlers._get_model_registry_store()


def _tracking() -> Any:
    return handlers._get_tracking_store()
