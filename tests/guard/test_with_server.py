"""Registration, promotion and use through a server on loopback, as a team has it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import sadcl
from sadcl import files
from sadcl.accounts import host
from sadcl.errors import SadclError
from sadcl.registry import client
from sadcl.registry.promote import promote, rollback
from sadcl.registry.publish import publish
from sadcl.registry.status import status
from sadcl.registry.sync import sync
from sadcl.services import free_port
from sadcl.services.supervisor import wait


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """MLflow's own server, which stores the files too."""
    port = free_port()
    running = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
         "--backend-store-uri", f"sqlite:///{tmp_path}/ml.db", "--artifacts-destination", str(tmp_path / "kept")],
        env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        wait(running, "registry", port)
        monkeypatch.setenv(client.ADDRESS, address)
        yield address
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()


def test_an_older_file_of_the_administrators_keeps_what_it_has_and_gets_the_rest(tmp_path: Path) -> None:
    with pytest.raises(SadclError, match="sadcl up"):
        host.prefect_login(tmp_path)
    older = {"username": "admin", "password": "as it was", "secret": "as it was, too"}
    files.write_json(tmp_path / host.ADMINISTRATOR, older)
    login = host.administrator(tmp_path, create=True)
    assert login is not None
    assert {name: login[name] for name in older} == older
    assert login == host.administrator(tmp_path) == host.administrator(tmp_path, create=True)
    assert host.prefect_login(tmp_path) == login["prefect"]
    assert host.account_login(host.WORKER, tmp_path) == {client.USERNAME: "worker", client.PASSWORD: login["worker"]}
    assert len({login["worker"], login["prefect"], login["secret"], login["password"]}) == 4
    assert (tmp_path / host.ADMINISTRATOR).stat().st_mode & 0o077 == 0


@pytest.mark.slow
def test_register_promote_use_and_go_back(project: Path, stages: Callable[..., None], server: str) -> None:
    stages(seed=1)
    assert publish().new
    assert not publish().new
    promote(1, "the first", first=True)
    stages(seed=2)
    publish()
    promote(2, "better")
    assert sadcl.load("models:/tiny-production@champion").classes == ("cat", "dog", "kite")
    assert rollback("worse after all").source == "models:/tiny/1"
    assert (status()["champion"]["version"], status()["previous"]["version"]) == ("1", "2")
    files.write_json("data/champion.json", None)
    assert sync() is True
    assert sync() is False
    assert not any((project / ".sadcl/mlartifacts").rglob("*"))


@pytest.mark.slow
def test_files_gone_from_the_server_are_a_sentence(
    registered: Path, stages: Callable[..., None], server: str, tmp_path: Path
) -> None:
    publish()
    [weights] = (tmp_path / "kept").rglob("weights.safetensors")
    weights.unlink()
    with pytest.raises(SadclError, match="of the registry is gone"):
        sadcl.load("models:/tiny/1")
