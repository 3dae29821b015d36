"""Errors of commands: a message, status 2, no traceback, and no file written."""

import os
import re
from pathlib import Path

import pytest

from tests.programs import ForkServer

SADCL = ("-c", "from sadcl.cli import main; main()")


class CommandLine:
    """Runs commands as programs."""

    def __init__(self, server: ForkServer) -> None:
        self.server = server

    def run(self, folder: Path, *words: str, status: int = 0, **variables: str) -> str:
        """Run a command to its end; what it printed."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_", "SADCL_"))}
        environment = {**inherited, "COLUMNS": "200", **variables}
        program = self.server.start(*words, imports="import sadcl.cli", cwd=folder, env=environment)
        printed, _ = program.communicate(timeout=120)
        assert program.returncode == status, printed
        assert "Traceback" not in printed
        return printed

    def refused(self, folder: Path, *words: str, **variables: str) -> str:
        """Output of a command that has to end with status 2 and to leave the folder unchanged."""
        before = files_in(folder)
        printed = self.run(folder, *words, status=2, **variables)
        assert files_in(folder) == before
        return printed


def files_in(folder: Path) -> list[Path]:
    """All files, without caches and locks."""
    return sorted(path for path in folder.rglob("*") if ".sadcl" not in path.relative_to(folder).parts)


@pytest.fixture
def commands(programs: ForkServer) -> CommandLine:
    return CommandLine(programs)


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
def test_command_outside_a_project(folder: Path, commands: CommandLine, words: str) -> None:
    assert re.search(OUTSIDE[words], commands.refused(folder, *SADCL, *words.split()))


@pytest.mark.parametrize("module", ["retrain", "deploy"])
def test_flow_outside_a_project(folder: Path, commands: CommandLine, module: str) -> None:
    assert "Go to the project's folder" in commands.refused(folder, "-m", f"flows.{module}")


def test_doctor_reports_each_problem_once(folder: Path, commands: CommandLine) -> None:
    lines = commands.run(folder, *SADCL, "doctor", status=1).splitlines()
    assert any("go to the project's folder" in line for line in lines)
    assert len(lines) == len(set(lines))


INVALID = {
    "recipe nothere": "Choose one of .*demo, .*scenes",
    "recipe": "no name of a recipe.*sadcl recipe --list",
    "recipe ../params": "Choose one of .*demo, .*scenes",
    "open nothere": "Choose one of mlflow, optuna, prefect",
    "open mlflow --port 99999": "Invalid value for '--port'.*65535",
    "tune --trials 0": "Invalid value for '--trials'",
    "tune --dashboard --apply": "Leave out the other options",
    "criteria --reason ours": "Add --accept, or leave out --reason",
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
    "predict a.jpg --threshold nan": "Invalid value for '--threshold'",
    "predict a.jpg --out out --photo-seconds nan": "Invalid value for '--photo-seconds'",
    "data fetch voc2007 --stall inf": "Invalid value for '--stall'",
    "predict a.jpg --out out --photo-seconds inf": "Invalid value for '--photo-seconds': inf is not a finite number",
    "embed --split all": "Invalid value for '--split'",
    "--color": "No such option",
    "predict a.jpg --model models:/none/1": "Nothing is registered yet",
}


@pytest.mark.parametrize("words", INVALID)
def test_invalid_arguments(template: Path, commands: CommandLine, words: str) -> None:
    assert re.search(INVALID[words], commands.refused(template, *SADCL, *words.split()), re.DOTALL)


def test_an_empty_password_is_none(template: Path, commands: CommandLine) -> None:
    words = (*SADCL, "user", "add", "ann", "--role", "reader")
    assert "There is no terminal to ask for a password" in commands.refused(template, *words, SADCL_USER_PASSWORD="")


def test_status_without_an_answer_of_the_registry(template: Path, commands: CommandLine) -> None:
    no_retries = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    printed = commands.run(template, *SADCL, "status", MLFLOW_TRACKING_URI="http://127.0.0.1:9", **no_retries)
    assert "can't be reached" in printed
    assert "No stage ran here yet" in printed
    assert "Stale: ingest" in printed


@pytest.mark.parametrize("words", ["--tune-trials -1", "--tune-trials few"])
def test_invalid_number_of_trials(template: Path, commands: CommandLine, words: str) -> None:
    assert "is not a whole number of 0 or more" in commands.refused(template, "-m", "flows.retrain", *words.split())


def test_unreachable_prefect_server(template: Path, commands: CommandLine) -> None:
    address = "http://127.0.0.1:9/api"
    printed = commands.refused(template, "-m", "flows.retrain", PREFECT_API_URL=address)
    assert f"retrain: failed: The Prefect server can't be reached ({address})" in printed


@pytest.mark.slow
def test_promote_flow_without_a_reachable_server_starts_its_own(template: Path, commands: CommandLine) -> None:
    printed = commands.run(template, "-m", "flows.promote", PREFECT_API_URL="http://127.0.0.1:9/api")
    assert "can't be reached (http://127.0.0.1:9/api), so this run starts its own server" in printed
    assert "promote: completed: " in printed
