"""What a person sees in the terminal, and that no trainer is left behind however a run is ended."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from prefect.client.schemas.filters import FlowRunFilter

from flows import deploy, runs
from flows.retrain import retrain
from sadcl import files, layout
from sadcl.project import notifications, schedule, worktree
from tests.receivers import Receiver

SLOW = """
import os, time
from pathlib import Path
from sadcl import processes
processes.end_with_parents(0.05)
Path({pid!r}).write_text(str(os.getpid()))
time.sleep(120)
"""


def start(root: Path, server: str, module: str, *words: str) -> "subprocess.Popen[str]":
    """A flow as a person starts it; its lines go to a file."""
    with open(root.parent / "printed", "w") as printed:
        return subprocess.Popen(
            [sys.executable, "-m", module, *words], cwd=root, text=True, env={**os.environ, "PREFECT_API_URL": server},
            stdout=printed, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Poll with a deadline: how long a machine takes is no part of any test."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def has_ended(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@pytest.fixture
def pid_file(project: Path) -> Path:
    """File with the pid of the project's second stage, which would take two minutes."""
    pid = project.parent / "pid"
    (project / "three.py").write_text(SLOW.format(pid=str(pid)))
    return pid


@pytest.fixture
def flow(project: Path, pid_file: Path, server: str) -> Iterator["subprocess.Popen[str]"]:
    """A run that is at the slow stage."""
    started = start(project, server, "flows.retrain", "--no-register")
    try:
        wait_for(lambda: (pid_file.exists() and pid_file.read_text() != "") or started.poll() is not None)
        assert started.poll() is None, printed(project)
        yield started
    finally:
        started.kill()
        started.wait()


def printed(project: Path) -> str:
    return (project.parent / "printed").read_text()


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
def test_ending_the_flow_ends_all_below(
    flow: "subprocess.Popen[str]", pid_file: Path, project: Path, sign: signal.Signals
) -> None:
    below = psutil.Process(flow.pid).children(recursive=True)
    assert int(pid_file.read_text()) in {process.pid for process in below}
    flow.send_signal(sign)
    assert flow.wait(60) != 0
    wait_for(lambda: all(has_ended(process) for process in below))


def test_a_killed_run_is_closed_with_its_cause_and_one_that_lives_is_not(
    flow: "subprocess.Popen[str]", project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.client.orchestration import get_client

    (record,) = (project / layout.RUNS_UNDER_WAY).glob("*.json")
    assert runs.close_lost(project) == []
    flow.kill()
    flow.wait()
    (line,) = runs.close_lost(project)
    assert "was interrupted. The run's process was killed or crashed (process " in line
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(record.stem)
        chosen = FlowRunFilter.model_validate({"id": {"any_": [record.stem]}})
        tasks = client.read_task_runs(flow_run_filter=chosen)
    assert run.state is not None
    assert run.state.is_crashed()
    assert f"process {flow.pid}, which began at " in str(run.state.message)
    assert all(task.state is not None and task.state.is_final() for task in tasks)
    assert runs.close_lost(project) == []
    assert not list((project / layout.RUNS_UNDER_WAY).iterdir())


def test_others_hear_of_the_run_and_the_run_hears_that_dvc_was_killed(
    flow: "subprocess.Popen[str]", pid_file: Path, project: Path
) -> None:
    by_hand = [sys.executable, "-m", "dvc", "repro"]
    asked = subprocess.run(by_hand, cwd=project, capture_output=True, text=True, check=False)
    assert asked.returncode != 0
    assert "busy" in asked.stderr
    stage = psutil.Process(int(pid_file.read_text()))
    (dvc,) = (process for process in psutil.Process(flow.pid).children() if "dvc" in process.cmdline())
    dvc.kill()
    assert flow.wait(60) == 2
    wait_for(lambda: has_ended(stage))
    assert "retrain: failed: Signal 9 ended DVC" in printed(project)
    assert "Traceback" not in printed(project)


@pytest.mark.slow
def test_killing_the_worker_ends_its_run_and_the_next_one_goes_on(
    project: Path, pid_file: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.deployments import run_deployment

    assert worktree.commit(project, "slow")
    monkeypatch.setenv("PREFECT_API_URL", server)
    deploy.deploy(project)
    worker = start(project.parent, server, "prefect", "worker", "start", "--pool", "sadcl")
    try:
        run_deployment("retrain/weekly", parameters={"tune_trials": 0, "publish": False}, timeout=0)
        wait_for(lambda: pid_file.exists() and pid_file.read_text() != "", seconds=180)
        below = psutil.Process(worker.pid).children(recursive=True)
        assert int(pid_file.read_text()) in {process.pid for process in below}
    finally:
        worker.kill()
        worker.wait()
    wait_for(lambda: all(has_ended(process) for process in below))
    assert len(list((project / ".sadcl/worktrees").iterdir())) == 1
    (project / "three.py").write_text("open('three.txt', 'w').write('quick')")
    assert worktree.commit(project, "quick")
    assert retrain(root=project, publish=False, scheduled=True, return_state=True).is_completed()
    assert not list((project / ".sadcl/worktrees").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("outcome", ["crashed", "cancelled"])
def test_a_worker_that_lives_reports_the_end_of_its_run(
    project: Path, pid_file: Path, server: str, monkeypatch: pytest.MonkeyPatch, outcome: str
) -> None:
    """A kill, as when memory runs out, or a person's decision: the worker alone calls the hooks of the run."""
    from prefect.client.orchestration import get_client
    from prefect.deployments import run_deployment
    from prefect.states import Cancelling

    assert worktree.commit(project, "slow")
    monkeypatch.setenv("PREFECT_API_URL", server)
    deploy.deploy(project)
    with Receiver() as receiver:
        monkeypatch.setenv(notifications.VARIABLE, receiver.address)
        worker = start(project.parent, server, "prefect", "worker", "start", "--pool", "sadcl")
        try:
            run: Any = run_deployment("retrain/weekly", parameters={"tune_trials": 0, "publish": False}, timeout=0)
            wait_for(lambda: pid_file.exists() and pid_file.read_text() != "", seconds=180)
            if outcome == "crashed":
                record = files.read_json(project / layout.RUNS_UNDER_WAY / f"{run.id}.json")
                psutil.Process(int(record["process"].partition(":")[0])).kill()
            else:
                with get_client(sync_client=True) as client:
                    client.set_flow_run_state(run.id, Cancelling())
            wait_for(lambda: bool(receiver.received), seconds=180)
        finally:
            worker.kill()
            worker.wait()
    assert [message["title"] for message in receiver.received] == [f"sadcl: retraining {outcome}"]
    assert schedule.read(project).failed is not None
