"""Reports of ended runs, as Prefect's worker and its engine ask for them."""

import asyncio
import json
from pathlib import Path
from uuid import uuid4

import pytest
from prefect import State
from prefect.client.schemas.objects import FlowRun
from prefect.runner._workspace_runtime_bootstrap import _run_hooks
from prefect.states import Cancelling, Crashed

from flows.retrain import HOOKS, retrain
from sadcl import layout
from sadcl.project import notifications, schedule

pytestmark = pytest.mark.usefixtures("server")


@pytest.mark.parametrize(
    ("state", "outcome", "message"),
    [
        (Crashed(message="Process exited with status code: -9."), "crashed", "Process exited with status code: -9."),
        (Cancelling(), "cancelled", "The run ended as cancelled."),
    ],
)
def test_a_run_that_its_worker_ends_is_reported(
    project: Path, monkeypatch: pytest.MonkeyPatch, state: State[None], outcome: str, message: str
) -> None:
    monkeypatch.setenv(notifications.VARIABLE, "json://127.0.0.1:1")
    monkeypatch.setattr(notifications, "start_delivery", lambda root: None)
    run = FlowRun(flow_id=uuid4(), name="brave-hare", parameters={"root": str(project)})
    asyncio.run(_run_hooks(HOOKS, run, retrain, state))
    (path,) = (project / layout.NOTIFICATIONS).glob("*.json")
    sent = json.loads(path.read_text())
    assert (sent["title"], sent["kind"]) == (f"sadcl: retraining {outcome}", "failure")
    assert sent["body"] == f"{message}\n(brave-hare in {project})"
    assert schedule.read(project).failed is not None
    assert schedule.read(project).failed_message == message
