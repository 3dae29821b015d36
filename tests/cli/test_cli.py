"""Errors of commands: a message, status 2, no traceback, and no file written."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import REPOSITORY

SADCL = ("-c", "from sadcl.cli import main; main()")


def start(folder: Path, *words: str, **variables: str) -> "subprocess.Popen[str]":
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_", "SADCL_"))}
    environment = {**inherited, "PYTHONPATH": path, "COLUMNS": "200", **variables}
    return subprocess.Popen(
        [sys.executable, *words], cwd=folder, env=environment, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def files_in(folder: Path) -> list[Path]:
    """All files, without caches and locks."""
    return sorted(path for path in folder.rglob("*") if ".sadcl" not in path.relative_to(folder).parts)


def refused(folder: Path, *words: str, **variables: str) -> str:
    """Output of a command that has to end with status 2 and to leave the folder unchanged."""
    before = files_in(folder)
    process = start(folder, *words, **variables)
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 2, printed
    assert "Traceback" not in printed
    assert files_in(folder) == before
    return printed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder without a project."""
    return tmp_path


OUTSIDE = {
    "status": "no dvc.yaml here.*Go to the project's folder",
    "clean": "no dvc.yaml here.*Go to the project's folder",
    "sync": "no dvc.yaml here.*Go to the project's folder",
    "register": "no dvc.yaml here.*Go to the project's folder",
    "recipe demo": "no dvc.yaml here.*Go to the project's folder",
    "tune": "go to the project's folder",
    "promote 1 --reason x": "no dvc.yaml here.*Go to the project's folder",
    "reject 1 --reason x": "no dvc.yaml here.*Go to the project's folder",
    "audit": "no dvc.yaml here.*Go to the project's folder",
    "up": "no dvc.yaml here.*Go to the project's folder",
    "rollback --reason x": "no dvc.yaml here.*Go to the project's folder",
    "data scenes": "no dvc.yaml here.*Go to the project's folder",
    "data accept": "no table to accept",
    "predict photo.jpg": "The weights file is missing",
}


@pytest.mark.parametrize("words", OUTSIDE)
def test_command_outside_a_project(folder: Path, words: str) -> None:
    assert re.search(OUTSIDE[words], refused(folder, *SADCL, *words.split()))


@pytest.mark.parametrize("module", ["retrain", "deploy"])
def test_flow_outside_a_project(folder: Path, module: str) -> None:
    assert "Go to the project's folder" in refused(folder, "-m", f"flows.{module}")


def test_doctor_reports_each_problem_once(folder: Path) -> None:
    process = start(folder, *SADCL, "doctor")
    lines = process.communicate(timeout=120)[0].splitlines()
    assert process.returncode == 1
    assert any("go to the project's folder" in line for line in lines)
    assert len(lines) == len(set(lines))


INVALID = {
    "recipe nothere": "Choose one of .*demo, .*scenes",
    "recipe ../params": "Choose one of .*demo, .*scenes",
    "open nothere": "Choose one of mlflow, optuna, prefect",
    "open mlflow --port 99999": "Invalid value for '--port'.*65535",
    "tune --trials 0": "Invalid value for '--trials'",
    "tune": "Tuning starts from stage 1, which is missing.*dvc repro",
    "promote 1": "needs a reason",
    "rollback": "needs a reason",
    "reject 1": "needs a reason",
    "reject": "Missing argument",
    "up --port 70000": "Invalid value for '--port'",
    "user add ann": "Missing option '--role'",
    "user add ann --role boss": "Invalid value for '--role'",
    "user add ann --role reader": "no terminal to ask for a password.*SADCL_USER_PASSWORD",
    "user prefect": "No team servers ran here yet.*sadcl up",
    "user list": "There is no registry with accounts here.*sadcl up",
    "promote": "Missing argument",
    "register": "nothing to register yet",
    "data accept": "Run `dvc repro validate` first",
    "predict": "Missing argument",
    "predict a.jpg --threshold 2": "Invalid value for '--threshold'",
    "embed --split all": "Invalid value for '--split'",
    "--color": "No such option",
    "predict a.jpg --model models:/none/1": "Nothing is registered yet",
}


@pytest.mark.parametrize("words", INVALID)
def test_invalid_arguments(template: Path, words: str) -> None:
    assert re.search(INVALID[words], refused(template, *SADCL, *words.split()), re.DOTALL)


def test_status_without_an_answer_of_the_registry(template: Path) -> None:
    no_retries = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    process = start(template, *SADCL, "status", MLFLOW_TRACKING_URI="http://127.0.0.1:9", **no_retries)
    printed = process.communicate(timeout=120)[0]
    assert process.returncode == 0, printed
    assert "Traceback" not in printed
    assert "can't be reached" in printed
    assert "No stage ran here yet" in printed
    assert "Stale: ingest" in printed


@pytest.mark.parametrize("words", ["--tune-trials -1", "--tune-trials few"])
def test_invalid_number_of_trials(template: Path, words: str) -> None:
    assert "is not a whole number of 0 or more" in refused(template, "-m", "flows.retrain", *words.split())


def test_unreachable_prefect_server(template: Path) -> None:
    address = "http://127.0.0.1:9/api"
    printed = refused(template, "-m", "flows.retrain", PREFECT_API_URL=address)
    assert f"retrain: The Prefect server can't be reached ({address})" in printed


@pytest.mark.slow
def test_promote_flow_without_a_reachable_server_starts_its_own(template: Path) -> None:
    process = start(template, "-m", "flows.promote", PREFECT_API_URL="http://127.0.0.1:9/api")
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 0, printed
    assert "can't be reached (http://127.0.0.1:9/api), so this run starts its own server" in printed
    assert "promote: completed: " in printed
