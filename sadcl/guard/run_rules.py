"""Runs and models behind registered versions: their figures and notes are those of who made them."""

from collections.abc import Callable, Iterator
from typing import Any

from mlflow.protos import service_pb2 as tracking

from sadcl.guard import mlflow_internals
from sadcl.guard.mlflow_internals import Refused


def behind(asked: Any) -> set[str]:
    """The runs that a request is about: named, or the one that a named model came from; empty where that is gone."""
    named = {asked.run_id or getattr(asked, "run_uuid", "")} - {""}
    return named | {mlflow_internals.run_of_model(model) or "" for model in _models(asked)}


def _models(asked: Any) -> Iterator[str]:
    """Ids of the models that a request names, itself or in its parts."""
    parts = [*getattr(asked, "metrics", []), *getattr(asked, "models", [])]
    for part in (asked, *parts):
        if getattr(part, "model_id", ""):
            yield part.model_id


def _of_a_run(message: type[Any]) -> Callable[[], None]:
    return lambda: _own(behind(mlflow_internals.asked(message)))


def _of_a_model(model_id: str, **_: str) -> None:
    _own({mlflow_internals.run_of_model(model_id) or ""})


def _own(runs: set[str]) -> None:
    for run in runs:
        if mlflow_internals.is_registered(run) and mlflow_internals.user() != mlflow_internals.run_user(run):
            raise Refused(f"Run {run} belongs to a registered version; only who made it writes into it")


MODELS = "/mlflow/logged-models/<model_id>"
RULES: dict[tuple[str, str], Callable[..., None]] = {
    ("/mlflow/runs/update", "POST"): _of_a_run(tracking.UpdateRun),
    ("/mlflow/runs/set-tag", "POST"): _of_a_run(tracking.SetTag),
    ("/mlflow/runs/delete-tag", "POST"): _of_a_run(tracking.DeleteTag),
    ("/mlflow/runs/log-metric", "POST"): _of_a_run(tracking.LogMetric),
    ("/mlflow/runs/log-parameter", "POST"): _of_a_run(tracking.LogParam),
    ("/mlflow/runs/log-batch", "POST"): _of_a_run(tracking.LogBatch),
    ("/mlflow/runs/log-model", "POST"): _of_a_run(tracking.LogModel),
    ("/mlflow/runs/log-inputs", "POST"): _of_a_run(tracking.LogInputs),
    ("/mlflow/runs/outputs", "POST"): _of_a_run(tracking.LogOutputs),
    (MODELS, "PATCH"): _of_a_model,
    (f"{MODELS}/tags", "PATCH"): _of_a_model,
    (f"{MODELS}/tags/<tag_key>", "DELETE"): _of_a_model,
    (f"{MODELS}/params", "POST"): _of_a_model,
}
