"""Rules on runs, logged models and experiments.

Only the author of a registered version writes into its run, and the ledger gets a line. Other runs have no rule and no
line: a training that logs its curves would fill the ledger.
"""

from collections.abc import Callable, Iterator
from typing import Any

from flask import request as http_request
from mlflow.protos import service_pb2 as tracking

from sadcl.guard import mlflow_internals
from sadcl.guard.ledger import Entry
from sadcl.guard.mlflow_internals import Refused
from sadcl.registry.audit.replay import shortened


def source_runs(request: Any) -> set[str]:
    """Ids of the runs that a request concerns: its own, and those of the models it names.

    The id is empty for a model that is gone, so that it equals no run.
    """
    # Older requests call the id run_uuid.
    own = {request.run_id or getattr(request, "run_uuid", "")} - {""}
    return own | {mlflow_internals.source_run(model) or "" for model in _model_ids(request)}


def _model_ids(request: Any) -> Iterator[str]:
    """Ids of the models that a request names.

    Metrics in one's own run may name somebody else's model, and MLflow then shows them with that model.
    """
    parts = [*getattr(request, "metrics", []), *getattr(request, "models", [])]
    for part in (request, *parts):
        if getattr(part, "model_id", ""):
            yield part.model_id


def _run_rule(action: str, message: type[Any]) -> Callable[[], Entry | None]:
    def rule() -> Entry | None:
        request = mlflow_internals.parse_request(message)
        registered = _require_author(source_runs(request))
        return {"what": action, "run": ", ".join(registered), **_content(request)} if registered else None

    return rule


def _content(request: Any) -> Entry:
    """Names of what a request writes, and its value where it is a single one."""
    entry: Entry = {}
    for field in ("key", "value", "run_name", "status"):
        if field in request.DESCRIPTOR.fields_by_name and request.HasField(field):
            value = getattr(request, field)
            entry[field] = tracking.RunStatus.Name(value) if field == "status" else shortened(str(value))
    for field in ("metrics", "params", "tags"):
        names = ", ".join(part.key for part in getattr(request, field, []))
        entry |= {field: shortened(names)} if names else {}
    return entry


# These routes have the id in the path, all others in the body.
def _model_rule(action: str) -> Callable[..., Entry | None]:
    def rule(model_id: str, **path: str) -> Entry | None:
        registered = _require_author({mlflow_internals.source_run(model_id) or ""})
        keys = shortened(", ".join(_model_keys(path)))
        entry = {"what": action, "run": ", ".join(registered), "logged model": model_id}
        return {**entry, **({"keys": keys} if keys else {})} if registered else None

    return rule


def _model_keys(path: dict[str, str]) -> Iterator[str]:
    """Names of the tags and parameters that a request writes into a logged model."""
    yield from path.values()
    body = http_request.get_json(force=True, silent=True)
    for field in ("tags", "params"):
        parts = body.get(field) if isinstance(body, dict) else None
        for part in parts if isinstance(parts, list) else []:
            yield str(part.get("key")) if isinstance(part, dict) else ""


def _model_created() -> Entry | None:
    run = mlflow_internals.parse_request(tracking.CreateLoggedModel).source_run_id
    registered = _require_author({run} - {""})
    return {"what": "logged model made", "run": run} if registered else None


def _require_author(runs: set[str]) -> list[str]:
    """Runs among these that belong to registered versions.

    Raises:
        Refused: the present account is not the author of one of them.
    """
    # a run without a version is free: MLflow's rights are enough there
    registered = sorted(run for run in runs if mlflow_internals.is_registered(run))
    for run in registered:
        if mlflow_internals.current_user() != mlflow_internals.run_author(run):
            raise Refused(f"Run {run} belongs to a registered version; only its author may write into it")
    return registered


# MLflow lets nobody but administrators delete and restore these, which is enough; the ledger gets a line.
def _run_recorder(action: str, message: type[Any]) -> Callable[[], Entry | None]:
    def rule() -> Entry | None:
        run = mlflow_internals.parse_request(message).run_id
        return {"what": action, "run": run} if mlflow_internals.is_registered(run) else None

    return rule


def _model_deleted(model_id: str) -> Entry | None:
    run = mlflow_internals.source_run(model_id) or ""
    return (
        {"what": "logged model deleted", "run": run, "logged model": model_id}
        if mlflow_internals.is_registered(run)
        else None
    )


def _experiment_recorder(action: str, message: type[Any]) -> Callable[[], Entry]:
    def rule() -> Entry:
        request = mlflow_internals.parse_request(message)
        return {"what": action, "experiment": request.experiment_id, **_content(request)}

    return rule


MODELS = "/mlflow/logged-models/<model_id>"
RULES: dict[tuple[str, str], Callable[..., Entry | None]] = {
    ("/mlflow/runs/update", "POST"): _run_rule("run updated", tracking.UpdateRun),
    ("/mlflow/runs/set-tag", "POST"): _run_rule("run tagged", tracking.SetTag),
    ("/mlflow/runs/delete-tag", "POST"): _run_rule("run untagged", tracking.DeleteTag),
    ("/mlflow/runs/log-metric", "POST"): _run_rule("run's metric set", tracking.LogMetric),
    ("/mlflow/runs/log-parameter", "POST"): _run_rule("run's parameter set", tracking.LogParam),
    ("/mlflow/runs/log-batch", "POST"): _run_rule("run's figures set", tracking.LogBatch),
    ("/mlflow/runs/log-model", "POST"): _run_rule("run's model set", tracking.LogModel),
    ("/mlflow/runs/log-inputs", "POST"): _run_rule("run's inputs set", tracking.LogInputs),
    ("/mlflow/runs/outputs", "POST"): _run_rule("run's outputs set", tracking.LogOutputs),
    ("/mlflow/runs/delete", "POST"): _run_recorder("run deleted", tracking.DeleteRun),
    ("/mlflow/runs/restore", "POST"): _run_recorder("run restored", tracking.RestoreRun),
    ("/mlflow/logged-models", "POST"): _model_created,
    (MODELS, "PATCH"): _model_rule("logged model updated"),
    (MODELS, "DELETE"): _model_deleted,
    (f"{MODELS}/tags", "PATCH"): _model_rule("logged model tagged"),
    (f"{MODELS}/tags/<tag_key>", "DELETE"): _model_rule("logged model untagged"),
    (f"{MODELS}/params", "POST"): _model_rule("logged model's parameters set"),
    ("/mlflow/experiments/delete", "POST"): _experiment_recorder("experiment deleted", tracking.DeleteExperiment),
    ("/mlflow/experiments/restore", "POST"): _experiment_recorder("experiment restored", tracking.RestoreExperiment),
    ("/mlflow/experiments/set-experiment-tag", "POST"): _experiment_recorder(
        "experiment tagged", tracking.SetExperimentTag
    ),
    ("/mlflow/experiments/delete-experiment-tag", "POST"): _experiment_recorder(
        "experiment untagged", tracking.DeleteExperimentTag
    ),
}
