"""Where the registry is, and the message when it can't be reached."""

import os
import threading
import warnings
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from sadcl import files
from sadcl.errors import SadclError
from sadcl.registry import identity
from sadcl.registry.client import (
    ADDRESS,
    PASSWORD,
    USERNAME,
    artifact_folder,
    check_connection,
    connect,
    database_file,
    logged_in_as,
    pages_command,
    registry_address,
    registry_exists,
    temporary_folder_note,
)
from sadcl.registry.publish import publish


class Answers(BaseHTTPRequestHandler):
    """A server that is no registry: it answers each call with the status in the address."""

    def do_GET(self) -> None:
        self.send_response(int(self.path.split("/")[1]))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Answers) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_the_registry_lies_in_the_project_unless_the_environment_moves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(ADDRESS, raising=False)
    monkeypatch.chdir(tmp_path)
    assert registry_address() == f"sqlite:///{tmp_path}/.sadcl/mlflow.db"
    assert artifact_folder() == tmp_path / ".sadcl/mlartifacts"
    assert not registry_exists()
    monkeypatch.setenv(ADDRESS, f"sqlite:///{tmp_path}/shared/ml.db")
    assert artifact_folder(Path("anywhere")) == tmp_path / "shared/mlartifacts"
    monkeypatch.setenv(ADDRESS, "https://registry.example.org")
    assert (registry_address(), database_file(), artifact_folder()) == ("https://registry.example.org", None, None)
    assert registry_exists()


IN_MEMORY = [
    "sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite+pysqlite:///:memory:", "sqlite:///?timeout=5",
    "sqlite:///file::memory:?cache=shared&uri=true", "sqlite:///file:models?mode=memory&uri=true",
]  # fmt: skip


@pytest.mark.parametrize("address", IN_MEMORY)
def test_a_registry_that_forgets_is_refused(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv(ADDRESS, address)
    with pytest.raises(SadclError, match="forgets all models"), connect():
        pass


def test_settings_of_a_database_are_no_part_of_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ADDRESS, f"sqlite+pysqlite:///{tmp_path}/ml.db?timeout=60")
    assert database_file() == tmp_path / "ml.db"


@pytest.mark.parametrize(
    ("address", "vanishes"),
    [
        ("sqlite:////dev/shm/ml.db", True), ("sqlite:////run/sadcl/ml.db?timeout=5", True),
        ("file:///tmp/mlruns", True), ("/tmp/mlruns", True), ("sqlite:////srv/tmp/ml.db", False),
        ("http://example.org/tmp", False),
        ("sqlite:///ml.db", False), ("", False),
    ],
)  # fmt: skip
def test_a_registry_in_a_temporary_folder_is_noted_where_the_project_lasts(
    monkeypatch: pytest.MonkeyPatch, address: str, vanishes: bool
) -> None:
    monkeypatch.chdir("/")
    monkeypatch.setenv(ADDRESS, address)
    assert ("temporary folder" in temporary_folder_note(Path("/srv/project"))) == vanishes
    assert temporary_folder_note(Path("/tmp/project")) == ""


def test_nothing_of_the_process_is_left_changed(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    filters = list(warnings.filters)
    with connect() as client:
        assert client.tracking_uri == registry_address()
    assert ADDRESS not in os.environ
    assert warnings.filters == filters
    assert capfd.readouterr() == ("", "")


def test_a_server_that_does_not_run_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ADDRESS, "http://ann:secret@127.0.0.1:9")
    with pytest.raises(SadclError, match=r"can't be reached \(http://127.0.0.1:9\)") as caught:
        check_connection()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "does not know you"),
        (404, "refused.*Check"),
        (429, "asks you to wait.*Wait a minute"),
        (500, "answers with status 500.*Read the server's log"),
    ],
)
def test_a_server_that_refuses_is_a_sentence(
    server: str, status: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ADDRESS, f"http://{server}/{status}")
    with pytest.raises(SadclError, match=words):
        check_connection()
    if status >= 429:
        with pytest.raises(SadclError, match=words):
            identity.ask("/any")


@pytest.mark.parametrize("address", ["sqlite:////proc/none/ml.db", "nonsense://x"])
def test_an_address_that_can_be_none_is_a_sentence(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ADDRESS, address)
    with pytest.raises(SadclError, match="Check MLFLOW_TRACKING_URI"):
        check_connection()


def test_a_file_that_is_no_database_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write_text(tmp_path / "ml.db", "this is no database " * 10)
    monkeypatch.setenv(ADDRESS, f"sqlite:///{tmp_path}/ml.db")
    with pytest.raises(SadclError, match="not a database"):
        check_connection()


def test_a_second_change_at_once_is_refused(registered: Path) -> None:
    with connect(changing=True), pytest.raises(SadclError, match="already changing the registry"):
        publish()


def test_pages_show_the_project_s_registry_on_loopback(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = " ".join(pages_command(5011))
    assert "mlflow server --host 127.0.0.1 --port 5011" in command
    assert registry_address() in command
    monkeypatch.setenv(ADDRESS, "https://registry.example.org")
    with pytest.raises(SadclError, match="server already"):
        pages_command(5011)


def test_one_person_at_a_time_acts_and_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(USERNAME, "ann")
    monkeypatch.delenv(PASSWORD, raising=False)
    seen: list[str | None] = []

    def other() -> None:
        with logged_in_as("rob", "his"):
            seen.append(os.environ.get(USERNAME))

    waiting = threading.Thread(target=other)
    with logged_in_as("rita", "hers"):
        waiting.start()
        seen.append(os.environ.get(USERNAME))
    waiting.join()
    assert seen == ["rita", "rob"]
    assert (os.environ.get(USERNAME), os.environ.get(PASSWORD)) == ("ann", None)
