"""A power cut in a scheduled run: servers, worker, run and training killed at one moment, then started again."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from sadcl.accounts import host
from sadcl.processes import STARTED_FOR
from sadcl.services import group
from tests.end_to_end.test_loop import MAKE, tiny
from tests.paths import REPOSITORY
from tests.receivers import Receiver
from tests.services.test_up import four_ports

pytestmark = pytest.mark.slow


def environment(**more: str) -> dict[str, str]:
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_", "SADCL_"))
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**inherited, "PYTHONPATH": str(REPOSITORY), "PATH": path, "OMP_NUM_THREADS": "1", **more}


def run(root: Path, *words: str, **more: str) -> str:
    command = [sys.executable, *words]
    ended = subprocess.run(command, cwd=root, env=environment(**more), text=True, capture_output=True, timeout=600)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def git(root: Path, *words: str) -> str:
    author = ["-c", "user.name=tester", "-c", "user.email=tester@localhost"]
    return subprocess.run(["git", *author, *words], cwd=root, check=True, capture_output=True, text=True).stdout


def eventually(holds: Callable[[], bool], root: Path, seconds: float = 600) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, (root / ".sadcl/team/logs/worker.log").read_text()[-5000:]
        time.sleep(0.2)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A committed project, below the top of a repository, whose first training takes many epochs."""
    top = tmp_path_factory.mktemp("everything")
    git(top, "init", "--quiet", "--initial-branch", "main")
    root = top / "tagger"
    root.mkdir()
    run(root, "-m", "sadcl", "init")
    run(root, "-c", MAKE)
    settings = yaml.safe_load(tiny())
    settings["pretrain"]["epochs"] = 25
    (root / "params.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    run(root, "-m", "dvc", "add", "--quiet", "data/raw/scenes")
    git(top, "add", "--all")
    git(top, "commit", "--quiet", "--message", "a project")
    return root


class Team:
    """The servers of `sadcl up`, and what their Prefect knows."""

    def __init__(self, root: Path, port: int, notify: str) -> None:
        self.root, self.port, self.notify = root, port, notify
        self.api = f"http://127.0.0.1:{port + 1}/api"
        self.start()

    def start(self) -> None:
        printed = self.root.parent / "up.txt"
        with printed.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sadcl", "up", "--port", str(self.port)], cwd=self.root,
                env=environment(SADCL_NOTIFY=self.notify), stdout=file, stderr=file,
            )  # fmt: skip
        eventually(lambda: "To stop all servers" in printed.read_text(), self.root)

    def login(self) -> str:
        return host.prefect_login(self.root)

    def runs(self) -> list[dict[str, Any]]:
        """Runs of the retraining that have begun, the oldest first."""
        user, _, password = self.login().partition(":")
        query = {"flows": {"name": {"any_": ["retrain"]}}, "sort": "START_TIME_ASC"}
        answer = httpx.post(f"{self.api}/flow_runs/filter", json=query, auth=(user, password), timeout=30)
        return [run for run in answer.raise_for_status().json() if run["start_time"]]

    def cut(self) -> None:
        """Kill everything at one moment, children of children too."""
        owner = group.owner(self.root)
        processes = [
            one for one in psutil.process_iter(["environ"]) if (one.info["environ"] or {}).get(STARTED_FOR) == owner
        ]
        for process in [psutil.Process(self.process.pid), *processes]:
            process.suspend()
        for process in [psutil.Process(self.process.pid), *processes]:
            process.send_signal(signal.SIGKILL)
        psutil.wait_procs(processes, 30)
        self.process.wait(30)


def trained(lock: str) -> dict[str, str]:
    """Digest of each file of weights in a ``dvc.lock``."""
    outs = (out for stage in yaml.safe_load(lock)["stages"].values() for out in stage["outs"])
    return {
        out["path"]: out["md5"] for out in outs if "history" not in out["path"] and out["path"].startswith("models")
    }


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        yield server


def test_the_run_is_closed_and_goes_on_to_the_same_bytes(project: Path, receiver: Receiver) -> None:
    quiet = shutil.copytree(project.parent, project.parent.with_name("quiet"), symlinks=True) / "tagger"
    run(quiet, "-m", "dvc", "repro")
    team = Team(project, four_ports(), receiver.address)
    try:
        prefect = {"PREFECT_API_URL": team.api, "PREFECT_API_AUTH_STRING": team.login()}
        assert "The weekly retraining is deployed." in run(project, "-m", "flows.deploy", **prefect)
        words = ("-m", "prefect", "deployment", "run", "retrain/weekly", "-p", "tune_trials=0", "-p", "publish=false")
        run(project, *words, **prefect)
        state = list[Path]()

        def is_training() -> bool:
            state[:] = project.glob(".sadcl/state/*/state.pt")
            return bool(state)

        eventually(is_training, project)
        first = state[0].stat().st_mtime_ns
        eventually(lambda: state[0].stat().st_mtime_ns > first, project)
        team.cut()
        assert state[0].exists(), "the training had ended; there was nothing to interrupt"

        team.start()
        eventually(lambda: any(one["state_type"] == "COMPLETED" for one in team.runs()), project)
        closed, resumed = team.runs()
        assert closed["state_type"] == "CRASHED"
        assert "The run's process was killed or crashed (process " in closed["state"]["message"]
        assert resumed["tags"] == ["resumed:1"]
        assert "resumes at epoch" in (project / ".sadcl/team/logs/worker.log").read_text()
        (branch,) = git(project, "for-each-ref", "--format=%(refname:short)", "refs/heads/retrain").split()
        assert len(trained((quiet / "dvc.lock").read_text())) >= 3
        assert trained(git(project, "show", f"{branch}:tagger/dvc.lock")) == trained((quiet / "dvc.lock").read_text())
        shown = run(project, "-m", "sadcl", "status")
        assert "Last good retraining: " in shown
        assert "Next retraining: " in shown
        eventually(lambda: len(receiver.received) > 1, project)
        titles = [message["title"] for message in receiver.received]
        assert titles == ["sadcl: a run was interrupted", "sadcl: retraining completed"]
    finally:
        run(project, "-m", "sadcl", "down")
        team.process.wait(60)
