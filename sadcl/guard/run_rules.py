"""Rules on the runs and logged models of registered versions: only their authors write into them."""

from collections.abc import Callable, Iterator
from typing import Any

from mlflow.protos import service_pb2 as tracking

from sadcl.guard import mlflow_internals
from sadcl.guard.mlflow_internals import Refused


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


def _run_rule(message: type[Any]) -> Callable[[], None]:
    return lambda: _require_author(source_runs(mlflow_internals.parse_request(message)))


# These routes have the id in the path, all others in the body.
def _model_rule(model_id: str, **_: str) -> None:
    _require_author({mlflow_internals.source_run(model_id) or ""})


def _require_author(runs: set[str]) -> None:
    for run in runs:  # a run without a version is free: MLflow's rights are enough there
        if mlflow_internals.is_registered(run) and mlflow_internals.current_user() != mlflow_internals.run_author(run):
            raise Refused(f"Run {run} belongs to a registered version; only its author may write into it")


MODELS = "/mlflow/logged-models/<model_id>"
RULES: dict[tuple[str, str], Callable[..., None]] = {
    ("/mlflow/runs/update", "POST"): _run_rule(tracking.UpdateRun),
    ("/mlflow/runs/set-tag", "POST"): _run_rule(tracking.SetTag),
    ("/mlflow/runs/delete-tag", "POST"): _run_rule(tracking.DeleteTag),
    ("/mlflow/runs/log-metric", "POST"): _run_rule(tracking.LogMetric),
    ("/mlflow/runs/log-parameter", "POST"): _run_rule(tracking.LogParam),
    ("/mlflow/runs/log-batch", "POST"): _run_rule(tracking.LogBatch),
    ("/mlflow/runs/log-model", "POST"): _run_rule(tracking.LogModel),
    ("/mlflow/runs/log-inputs", "POST"): _run_rule(tracking.LogInputs),
    ("/mlflow/runs/outputs", "POST"): _run_rule(tracking.LogOutputs),
    (MODELS, "PATCH"): _model_rule,
    (f"{MODELS}/tags", "PATCH"): _model_rule,
    (f"{MODELS}/tags/<tag_key>", "DELETE"): _model_rule,
    (f"{MODELS}/params", "POST"): _model_rule,
}
