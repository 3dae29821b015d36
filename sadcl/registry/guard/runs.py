"""Runs behind registered versions: their figures, notes and what they are said to have made are their maker's."""

from collections.abc import Callable
from typing import Any

from mlflow.protos import service_pb2 as tracking

from sadcl.registry.guard import inside
from sadcl.registry.guard.inside import Refused


def _of_a_run(message: type[Any]) -> Callable[[], None]:
    def rule() -> None:
        asked = inside.asked(message)
        run = asked.run_id or getattr(asked, "run_uuid", "")
        if inside.is_registered(run) and inside.user() != inside.run_user(run):
            raise Refused(f"Run {run} belongs to a registered version; only who made it writes into it")

    return rule


RULES = {
    ("/mlflow/runs/update", "POST"): _of_a_run(tracking.UpdateRun),
    ("/mlflow/runs/set-tag", "POST"): _of_a_run(tracking.SetTag),
    ("/mlflow/runs/delete-tag", "POST"): _of_a_run(tracking.DeleteTag),
    ("/mlflow/runs/log-metric", "POST"): _of_a_run(tracking.LogMetric),
    ("/mlflow/runs/log-parameter", "POST"): _of_a_run(tracking.LogParam),
    ("/mlflow/runs/log-batch", "POST"): _of_a_run(tracking.LogBatch),
    ("/mlflow/runs/log-model", "POST"): _of_a_run(tracking.LogModel),
    ("/mlflow/runs/log-inputs", "POST"): _of_a_run(tracking.LogInputs),
    ("/mlflow/runs/outputs", "POST"): _of_a_run(tracking.LogOutputs),
}
