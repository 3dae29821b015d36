"""Runs whose process is gone are closed and go on; runs that somebody may execute are left alone."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import WorkerStatus
from prefect.states import Running, Scheduled

from flows import deploy, outcomes, runs, watch
from flows.verify import verify
from sadcl import files, layout
from sadcl.project import notifications, schedule

LOST = "No process of this host executes the run"


@pytest.fixture(scope="module")
def deployed(template: Path, server: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Address of a server that knows the deployment."""
    copy = shutil.copytree(template, tmp_path_factory.mktemp("deployed") / "project")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_API_URL", server)
        deploy.deploy(copy)
    return server


@pytest.fixture
def client(deployed: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[SyncPrefectClient]:
    """Client of that server, where no run is open."""
    monkeypatch.setenv("PREFECT_API_URL", deployed)
    with get_client(sync_client=True) as connected:
        yield connected
        for run in connected.read_flow_runs():
            connected.delete_flow_run(run.id)


def running(client: SyncPrefectClient, **words: Any) -> Any:
    """A run of the deployment that Prefect believes to be running."""
    deployment = client.read_deployment_by_name("retrain/weekly")
    run = client.create_flow_run_from_deployment(deployment.id, parameters={"tune_trials": 7}, **words)
    client.set_flow_run_state(run.id, Running(), force=True)
    return run


def test_a_run_that_no_process_executes_is_closed_and_goes_on(project: Path, client: SyncPrefectClient) -> None:
    run = running(client, tags=["resumed:x"])
    closed, resumed = runs.close_lost(project, resume=True)
    assert closed.startswith(f"Run {run.name} was interrupted. {LOST}")
    assert f"goes on where {run.name} was interrupted" in resumed
    state = client.read_flow_run(run.id).state
    assert state is not None
    assert state.is_crashed()
    assert str(state.message).startswith(LOST)
    (new,) = [one for one in client.read_flow_runs() if "resumed:1" in one.tags]
    assert (sorted(new.tags), new.parameters["tune_trials"]) == (["resumed:1", "resumed:x"], 7)
    assert runs.close_lost(project, resume=True) == []


def test_a_run_that_is_interrupted_again_and_again_is_given_up(project: Path, client: SyncPrefectClient) -> None:
    running(client, tags=[f"resumed:{runs.MOST_RESUMED}", "resumed:x"])
    closed, given_up = runs.close_lost(project, resume=True)
    assert closed.startswith("Run ")
    assert "is not started again: it was interrupted 4 times in a row" in given_up
    assert schedule.read(project).failed is not None
    assert schedule.read(project).failed_message.startswith(LOST)


def test_an_interrupted_run_of_another_flow_is_no_failure_of_the_retraining(
    project: Path, client: SyncPrefectClient
) -> None:
    run = client.create_flow_run(verify, state=Running())
    files.write_text(project / layout.RUNS_UNDER_WAY / f"{run.id}.json", "")
    assert len(runs.close_lost(project)) == 1
    assert schedule.read(project).failed is None


def test_no_second_run_where_one_waits_already(project: Path, client: SyncPrefectClient) -> None:
    running(client)
    deployment = client.read_deployment_by_name("retrain/weekly")
    late = Scheduled(scheduled_time=datetime.now(UTC) - timedelta(hours=1))
    client.create_flow_run_from_deployment(deployment.id, state=late)
    assert len(runs.close_lost(project, resume=True)) == 1


def test_a_run_of_another_host_or_of_a_living_process_is_left_alone(project: Path, client: SyncPrefectClient) -> None:
    run = running(client)
    with subprocess.Popen(["sleep", "600"], env={**os.environ, runs.RUN_VARIABLE: str(run.id)}) as process:
        assert runs.close_lost(project) == []
        process.kill()
    client._client.post(f"/work_pools/{runs.POOL}/workers/heartbeat", json={"name": "elsewhere"}).raise_for_status()
    assert runs.close_lost(project) == []
    client._client.delete(f"/work_pools/{runs.POOL}/workers/elsewhere").raise_for_status()
    client._client.post(f"/work_pools/{runs.POOL}/workers/heartbeat", json={"name": runs.WORKER_NAME})
    assert len(runs.close_lost(project)) == 1


def test_a_run_of_a_host_that_is_cut_off_is_left_alone(
    project: Path, client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker of such a host is offline for the server, but its run goes on; a worker that was gone has no run."""
    run = running(client)
    client._client.post(f"/work_pools/{runs.POOL}/workers/heartbeat", json={"name": "elsewhere"}).raise_for_status()
    (worker,) = [one for one in client.read_workers_for_work_pool(runs.POOL) if one.name == "elsewhere"]
    client._client.delete(f"/work_pools/{runs.POOL}/workers/elsewhere").raise_for_status()
    offline = worker.model_copy(update={"status": WorkerStatus.OFFLINE})
    shown = [offline]
    monkeypatch.setattr(SyncPrefectClient, "read_workers_for_work_pool", lambda *_: shown)
    assert runs.close_lost(project) == []
    shown[:] = [offline.model_copy(update={"last_heartbeat_time": datetime.now(UTC) - timedelta(hours=1)})]
    assert len(runs.close_lost(project)) == 1
    state = client.read_flow_run(run.id).state
    assert state is not None
    assert state.is_crashed()


def test_a_run_with_a_damaged_record_is_closed_and_a_foreign_file_ignored(
    project: Path, client: SyncPrefectClient
) -> None:
    run = running(client)
    records = project / layout.RUNS_UNDER_WAY
    for name in (str(run.id), "notes"):
        files.write_text(records / f"{name}.json", "")
    (closed,) = runs.close_lost(project)
    assert closed.startswith(f"Run {run.name} was interrupted. The run's process is gone, and its record is damaged")
    assert [path.name for path in records.iterdir()] == ["notes.json"]


def test_a_run_that_no_worker_begins_is_announced_once_and_its_end_too(
    project: Path, client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(notifications.VARIABLE, "json://127.0.0.1:1")
    monkeypatch.setattr(notifications, "start_delivery", lambda root: None)
    deployment = client.read_deployment_by_name("retrain/weekly")
    late = Scheduled(scheduled_time=datetime.now(UTC) - timedelta(hours=1))
    run = client.create_flow_run_from_deployment(deployment.id, state=late)
    announced = ""
    for _ in range(2):
        watch.refresh(project)
        announced = watch._announce_waiting(project, announced)
    assert titles(project) == ["sadcl: a run waits"]
    assert "overdue" in schedule.problems(project)[0]
    client.set_flow_run_state(run.id, Running(), force=True)
    watch.refresh(project)
    assert watch._announce_waiting(project, announced) == ""
    assert titles(project) == ["sadcl: a run waits", "sadcl: runs begin again"]
    assert schedule.problems(project) == []


def test_a_pause_is_not_announced_as_a_begun_run(
    project: Path, client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(notifications.VARIABLE, "json://127.0.0.1:1")
    monkeypatch.setattr(notifications, "start_delivery", lambda root: None)
    schedule.update(project, due=None)
    assert watch._announce_waiting(project, str(datetime.now(UTC) - timedelta(hours=1))) == ""
    assert titles(project) == ["sadcl: no run waits"]


def titles(project: Path) -> list[str]:
    return [json.loads(path.read_text())["title"] for path in sorted((project / layout.NOTIFICATIONS).glob("*.json"))]


@pytest.mark.parametrize("meets_another", [False, True])
def test_a_deployed_run_records_the_next_date(project: Path, client: SyncPrefectClient, meets_another: bool) -> None:
    """The process that a worker starts records the date itself, without the watch of `sadcl up`."""
    deployment = client.read_deployment_by_name("retrain/weekly")
    words = {"publish": False, "tune_trials": 0, "root": str(project)}
    run = client.create_flow_run_from_deployment(deployment.id, parameters=words)
    command = [sys.executable, "-m", "prefect", "flow-run", "execute", str(run.id)]
    other = files.lock(project / layout.RETRAIN_LOCK, "retraining this project") if meets_another else nullcontext()
    with other:
        subprocess.run(command, cwd=project, env={**os.environ, runs.RUN_VARIABLE: str(run.id)}, check=True)
    assert client.read_flow_run(run.id).state_name == (outcomes.UNDER_WAY if meets_another else "Completed")
    assert schedule.read(project).due is not None
