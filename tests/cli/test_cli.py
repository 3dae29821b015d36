"""What a person mistypes or runs in the wrong place: a sentence, status 2, no traceback, and nothing written."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sadcl import pipeline
from tests.paths import REPOSITORY

SADCL = ("-c", "from sadcl.cli import main; main()")


def start(folder: Path, *words: str, **variables: str) -> "subprocess.Popen[str]":
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_", "SADCL_"))}
    environment = {**kept, "PYTHONPATH": path, "COLUMNS": "200", **variables}
    return subprocess.Popen(
        [sys.executable, *words], cwd=folder, env=environment, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def written(folder: Path) -> list[Path]:
    """What is there, beside caches and locks."""
    return sorted(path for path in folder.rglob("*") if ".sadcl" not in path.relative_to(folder).parts)


def refused(folder: Path, *words: str, **variables: str) -> str:
    """What a command says that ends with status 2 and leaves the folder as it was."""
    before = written(folder)
    process = start(folder, *words, **variables)
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 2, printed
    assert "Traceback" not in printed
    assert written(folder) == before
    return printed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Any folder, in which there is no project."""
    return tmp_path


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which nothing ran yet."""
    root = tmp_path_factory.mktemp("template")
    (root / "recipes").mkdir()
    for name in ("dvc.yaml", "recipes/demo.yaml", "recipes/scenes.yaml"):
        (root / name).write_text((REPOSITORY / name).read_text())
    (root / "params.yaml").write_text((REPOSITORY / "recipes/demo.yaml").read_text())
    pipeline.set_up(root)
    return root


ELSEWHERE = {
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


@pytest.mark.parametrize("words", ELSEWHERE)
def test_outside_a_project_a_command_says_so(folder: Path, words: str) -> None:
    assert re.search(ELSEWHERE[words], refused(folder, *SADCL, *words.split()))


@pytest.mark.parametrize("module", ["retrain", "deploy"])
def test_outside_a_project_a_flow_says_so(folder: Path, module: str) -> None:
    assert "Go to the project's folder" in refused(folder, "-m", f"flows.{module}")


def test_doctor_says_each_thing_once(folder: Path) -> None:
    process = start(folder, *SADCL, "doctor")
    lines = process.communicate(timeout=120)[0].splitlines()
    assert process.returncode == 1
    assert any("go to the project's folder" in line for line in lines)
    assert len(lines) == len(set(lines))


WRONG = {
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
    "user prefect": "No team's servers ran here yet.*sadcl up",
    "user list": "There is no registry with accounts here.*sadcl up",
    "promote": "Missing argument",
    "register": "nothing to register yet",
    "data accept": "Run `dvc repro validate` first",
    "predict": "Missing argument",
    "predict a.jpg --threshold 2": "Invalid value for '--threshold'",
    "predict a.jpg --model models:/none/1": "Nothing is registered yet",
}


@pytest.mark.parametrize("words", WRONG)
def test_a_wrong_word_is_answered_with_what_to_write(template: Path, words: str) -> None:
    assert re.search(WRONG[words], refused(template, *SADCL, *words.split()), re.DOTALL)


def test_status_tells_the_rest_where_the_registry_does_not_answer(template: Path) -> None:
    quickly = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    process = start(template, *SADCL, "status", MLFLOW_TRACKING_URI="http://127.0.0.1:9", **quickly)
    printed = process.communicate(timeout=120)[0]
    assert process.returncode == 0, printed
    assert "Traceback" not in printed
    assert "can't be reached" in printed
    assert "Nothing ran here yet" in printed
    assert "Stale: ingest" in printed


@pytest.mark.parametrize("words", ["--tune-trials -1", "--tune-trials few"])
def test_a_wrong_number_for_the_flow_is_refused(template: Path, words: str) -> None:
    assert "should be 0 or more" in refused(template, "-m", "flows.retrain", *words.split())


def test_a_prefect_server_that_can_not_be_reached_is_a_sentence(template: Path) -> None:
    nobody = "http://127.0.0.1:9/api"
    printed = refused(template, "-m", "flows.retrain", PREFECT_API_URL=nobody)
    assert f"retrain: The Prefect server can't be reached ({nobody})" in printed


@pytest.mark.slow
def test_what_follows_a_decision_then_has_a_server_of_its_own(template: Path) -> None:
    process = start(template, "-m", "flows.promote", PREFECT_API_URL="http://127.0.0.1:9/api")
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 0, printed
    assert "can't be reached (http://127.0.0.1:9/api), so this run has a server of its own" in printed
    assert "promote: completed: " in printed
