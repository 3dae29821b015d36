"""A team's servers: one command starts them, another stops them, and no process remains."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from mlflow import MlflowClient

from sadcl import files, pipeline
from sadcl.errors import SadclError
from sadcl.registry import criteria
from sadcl.registry.audit import log, verify
from sadcl.registry.client import ADDRESS, logged_in_as
from sadcl.services import HOST, down, free_port
from tests.guard.conftest import CRITERIA
from tests.paths import REPOSITORY

pytestmark = pytest.mark.slow

NAME, PASSWORD = "sadcl-scenes", "long enough for all"
SADCL = [sys.executable, "-m", "sadcl"]
signal.signal(signal.SIGINT, signal.default_int_handler)


def variables(**more: str) -> dict[str, str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_", "SADCL_"))}
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    return {**environment, "PYTHONPATH": path, "COLUMNS": "200", **more}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new project."""
    root = tmp_path_factory.mktemp("project")
    (root / "dvc.yaml").write_text((REPOSITORY / "dvc.yaml").read_text())
    (root / "params.yaml").write_text((REPOSITORY / "recipes/demo.yaml").read_text())
    pipeline.set_up(root)
    return root


def run(project: Path, *words: str, **more: str) -> tuple[int, str]:
    ended = subprocess.run(
        [*SADCL, *words], cwd=project, env=variables(**more), text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, check=False,
    )  # fmt: skip
    return ended.returncode, ended.stdout


def up(project: Path, port: int) -> "subprocess.Popen[str]":
    """Start the servers and wait until all of them answer."""
    process = subprocess.Popen(
        [*SADCL, "up", "--port", str(port)], cwd=project, env=variables(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout is not None
    output = []
    for line in process.stdout:
        output.append(line)
        if "To stop all servers" in line:
            return process
    pytest.fail("".join(output))


def descendants(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Processes that still run; zombies don't count."""
    running = []
    for process in psutil.wait_procs(processes, timeout=0)[1]:
        with suppress(psutil.NoSuchProcess):
            running += [process] if process.status() != psutil.STATUS_ZOMBIE else []
    return running


def four_ports() -> int:
    """The first of four free ones."""
    first = free_port()
    return first if not any(_taken(first + more) for more in range(4)) else four_ports()


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def read_state(project: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((project / ".sadcl/team/up.json").read_text())
    return value


def test_up_accounts_status_and_down(project: Path) -> None:
    port = four_ports()
    process = up(project, port)
    try:
        address = f"http://{HOST}:{port}"
        assert read_state(project)["registry"] == address
        assert httpx.get(f"http://{HOST}:{port + 1}/api/health").json() is True
        assert httpx.get(f"{address}/api/2.0/mlflow/experiments/get?experiment_id=0").status_code == 401
        secret = project / ".sadcl/team/administrator.json"
        assert secret.stat().st_mode & 0o077 == 0
        assert secret.parent.stat().st_mode & 0o077 == 0

        status, output = run(project, "up", "--port", str(port))
        assert (status, "The servers are already running" in output, address in output) == (2, True, True)
        status, output = run(
            project, "user", "add", "rita", "--role", "reviewer", SADCL_USER_PASSWORD="long enough for all"
        )
        assert (status, output) == (0, "Created the account rita with the role reviewer.\n")
        status, output = run(project, "user", "list")
        assert output.split() == ["administrator", "admin", "reviewer", "rita", *("verifier",) * 2, "trainer", "worker"]
        assert f"The team's registry runs at {address}, but this project uses another" in run(project, "status")[1]
        own = {"MLFLOW_TRACKING_URI": address, "MLFLOW_TRACKING_USERNAME": "rita"}
        status, output = run(project, "audit", **own, MLFLOW_TRACKING_PASSWORD="long enough for all")
        assert (status, "admin: account made: rita" in output, "The log is complete: " in output) == (0, True, True)
        assert "long enough" not in output
        assert "does not know you" in run(project, "audit", **own, MLFLOW_TRACKING_PASSWORD="wrong")[1]

        servers = descendants(process.pid)
        assert run(project, "down") == (0, "All servers are stopped\n")
        assert process.wait(30) == 143
        assert not alive(servers)
        assert run(project, "down") == (0, "No servers are running\n")
    finally:
        process.kill()
        process.communicate()
        run(project, "down")


def test_the_registry_comes_back_as_the_page_says(project: Path) -> None:
    page = (REPOSITORY / "docs/how-to/back-up-a-registry.md").read_text(encoding="utf-8")
    copy, back = (page.partition(f"<!-- {name} -->\n```\n")[2].partition("```")[0] for name in ("a copy", "back"))
    process = up(project, four_ports())
    try:
        added = run(project, "user", "add", "ruth", "--role", "reviewer", SADCL_USER_PASSWORD=PASSWORD)
        assert added[0] == 0, added[1]
        with registry(project) as client:
            criteria.accept(client, NAME, CRITERIA, "ruth", "the rules of the team", log.now())
        shell(project, copy)
        assert process.wait(30) == 143
        shutil.rmtree(project / ".sadcl/team")
        shell(project, back)
        process.communicate()
        process = up(project, four_ports())
        with registry(project) as client:
            accepted = criteria.accepted(client, NAME)
            assert accepted is not None
            assert (accepted.user, accepted.criteria) == ("ruth", CRITERIA)
            assert verify.read_history(project).problems == []
    finally:
        process.kill()
        run(project, "down")
        process.communicate()


@contextmanager
def registry(project: Path) -> Iterator[MlflowClient]:
    """The registry's client, logged in as the reviewer."""
    address = read_state(project)["registry"]
    with pytest.MonkeyPatch.context() as patch, logged_in_as("ruth", PASSWORD):
        patch.setenv(ADDRESS, address)
        yield MlflowClient(tracking_uri=address, registry_uri=address)


def test_servers_do_not_start_with_an_account_that_they_did_not_create(project: Path) -> None:
    process = up(project, four_ports())
    assert run(project, "down")[0] == 0
    process.communicate()
    passwords = project / ".sadcl/team/administrator.json"
    # as if a person had this account since before the verifier existed: its password is not the host's
    files.write_json(passwords, {**json.loads(passwords.read_text()), "verifier": "another password"})
    status, output = run(project, "up", "--port", str(four_ports()))
    assert (status, "The account verifier was not created by `sadcl up`" in output) == (2, True), output
    [delete] = re.findall("`sadcl (user delete verifier)`", output)
    assert run(project, "down") == (0, "No servers are running\n")
    status, output = run(project, *delete.split())
    assert (status, "Deleted the account verifier." in output) == (0, True), output
    process = up(project, four_ports())
    try:
        assert "verifier" in run(project, "user", "list")[1]
    finally:
        process.kill()
        run(project, "down")
        process.communicate()


def shell(project: Path, commands: str) -> None:
    """Run commands as they stand on a page."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ended = subprocess.run(
        ["bash", "-e"], input=commands, cwd=project, env=variables(PATH=path), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout


def test_ctrl_c_once_or_again_leaves_no_process(project: Path) -> None:
    process = up(project, four_ports())
    try:
        servers = descendants(process.pid)
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert process.stdout.readline() == "Stopping\n"
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
        assert (process.returncode, "Traceback" in output) == (0, False), output
        assert not alive(servers)
    finally:
        process.kill()
        run(project, "down")


def test_what_a_dead_worker_and_a_killed_up_left_is_ended(project: Path) -> None:
    """`down` also works without the state file: `up` may be killed before it wrote one."""
    process = up(project, four_ports())
    servers = descendants(process.pid)
    worker = next(process for process in servers if "worker" in process.cmdline())
    with subprocess.Popen(["sleep", "600"], env=worker.environ(), start_new_session=True) as run_of_somebody:
        try:
            worker.kill()
            process.kill()
            process.communicate()
            (project / ".sadcl/team/up.json").unlink()
            assert alive(servers)
            assert run(project, "down") == (0, "All servers are stopped\n")
            assert not alive(servers)
            assert run_of_somebody.wait(0) == -signal.SIGTERM
            assert run(project, "down") == (0, "No servers are running\n")
        finally:
            run_of_somebody.kill()
            process.kill()
            run(project, "down")


def test_a_killed_server_comes_back_and_status_names_it_meanwhile(project: Path) -> None:
    process = up(project, four_ports())
    assert process.stdout is not None
    try:
        worker = next(server for server in descendants(process.pid) if "worker" in server.cmdline())
        worker.kill()
        assert process.stdout.readline().startswith("worker was ended by SIGKILL. It is restarted in 1 s. See ")
        assert re.search(
            r"worker (is down|runs again) since .* SIGKILL, once.*logs/worker.log", run(project, "status")[1]
        )
        while read_state(project)["services"]["worker"]["state"] != "running":
            time.sleep(0.1)
        assert "worker" in {name for server in descendants(process.pid) for name in server.cmdline()}
    finally:
        run(project, "down")
        process.kill()
        process.communicate()
    assert (project / ".sadcl/team/logs/worker.log").read_text().count("--- started at") >= 2


@pytest.mark.parametrize("text", ["", "{}", None])
def test_down_ends_all_servers_although_the_state_is_damaged(project: Path, text: str | None) -> None:
    process = up(project, four_ports())
    try:
        servers = descendants(process.pid)
        state = project / ".sadcl/team/up.json"
        state.unlink() if text is None else state.write_text(text)
        assert run(project, "down") == (0, "All servers are stopped\n")
        assert process.wait(30) == 143
        assert not alive(servers)
    finally:
        process.kill()
        process.communicate()
        run(project, "down")


def test_down_says_what_to_do_where_the_lock_names_no_process(tmp_path: Path) -> None:
    lock = tmp_path / ".sadcl/team/lock"
    with files.lock(lock, "running these servers"):
        for text in ("", "pid 1", "x"):
            lock.write_text(text)
            with pytest.raises(SadclError, match="Press Ctrl-C where it runs, or end the process that `fuser"):
                down(tmp_path)


def test_a_taken_port_is_named(project: Path) -> None:
    port = four_ports()
    with socket.socket() as listener:
        listener.bind((HOST, port + 1))
        listener.listen()
        status, output = run(project, "up", "--port", str(port))
    assert (status, f"Port {port + 1}, which prefect needs, is in use" in output) == (2, True), output
    assert not (project / ".sadcl/team/up.json").exists()
