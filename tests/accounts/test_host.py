"""Files of a team's host: damaged ones, and those of another user, are a sentence."""

import errno
import os
from collections.abc import Callable
from configparser import ConfigParser
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sadcl import layout
from sadcl.accounts import host
from sadcl.cli import app
from sadcl.errors import SadclError
from sadcl.project import doctor, overview
from sadcl.services import down, is_down, state


@pytest.fixture
def project_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shared folder in which another user ran `sadcl up`: nobody else may look into its team's folder."""
    (tmp_path / layout.TEAM).mkdir(parents=True)
    stat = Path.stat

    def refuse(path: Path, **words: Any) -> os.stat_result:
        if path.parent.name == layout.TEAM.name:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return stat(path, **words)

    monkeypatch.setattr(Path, "stat", refuse)
    monkeypatch.chdir(tmp_path)
    return tmp_path


WORKER_LOGIN = partial(host.account_login, host.WORKER)


@pytest.mark.parametrize(
    "ask", [host.running, host.administrator, host.prefect_login, WORKER_LOGIN, state.problems, down, is_down]
)
def test_files_of_another_user_are_a_sentence(project_of_another_user: Path, ask: Callable[[], object]) -> None:
    with pytest.raises(SadclError, match=r"belong to another user.*Work as the user who ran `sadcl up`") as raised:
        ask()
    assert str(layout.TEAM) in str(raised.value)


@pytest.mark.parametrize("words", [["down"], ["user", "prefect"]])
def test_a_command_of_another_user_ends_with_the_sentence(project_of_another_user: Path, words: list[str]) -> None:
    assert isinstance(CliRunner().invoke(app, words).exception, SadclError)


def test_status_and_doctor_of_another_user_go_on(project_of_another_user: Path) -> None:
    assert overview._team(Path(".")) == []
    for lines in (overview._services(), doctor.diagnose()):
        assert sum("belong to another user" in line for line in lines) == 1


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"prefect": 7}'])
def test_damaged_passwords_come_from_a_backup(text: str, tmp_path: Path) -> None:
    (tmp_path / host.ADMINISTRATOR).parent.mkdir(parents=True)
    (tmp_path / host.ADMINISTRATOR).write_text(text)
    for ask in (host.administrator, host.prefect_login):
        with pytest.raises(SadclError, match="Restore it from a backup"):
            ask(tmp_path)


def test_the_server_starts_in_a_folder_with_a_percent_sign(tmp_path: Path) -> None:
    """MLflow reads its settings with interpolation, where such a sign begins the name of another setting."""
    folder = tmp_path / "50% data"
    folder.mkdir()
    settings = ConfigParser()
    settings.read(host.server(5000, folder)[1]["MLFLOW_AUTH_CONFIG_PATH"])
    assert settings["mlflow"]["database_uri"] == f"sqlite:///{folder / layout.TEAM}/accounts.db"
