"""Servers that end are restarted; what ends again and again stays down, and is named."""

import errno
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sadcl import files, processes, progress
from sadcl.accounts import host
from sadcl.errors import SadclError
from sadcl.project import doctor, overview
from sadcl.services import free_port, group, state, supervisor
from sadcl.services.group import VERIFIER, WORKER, ServerGroup

ENDS = [sys.executable, "-c", "print('no database'); raise SystemExit(3)"]
STAYS = [sys.executable, "-c", "import time; print('here', flush=True); time.sleep(600)"]


class Clock:
    """Seconds that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[ServerGroup]:
    group_of_project = ServerGroup(tmp_path, free_port(), Clock())
    yield group_of_project
    supervisor.end(group.owner(tmp_path))
    for service in group_of_project._services.values():
        service.process.wait()


def wait_until_ended(servers: ServerGroup) -> None:
    servers._services[WORKER].process.wait(30)


def move(servers: ServerGroup, seconds: float) -> None:
    servers._clock.now += seconds  # type: ignore[attr-defined]
    servers.check()


def test_a_server_that_ends_is_restarted_later_each_time_and_then_stays_down(
    servers: ServerGroup, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    servers.start(WORKER, ENDS, {})
    assert state.problems(servers.root) == []
    for failure in range(1, group.MOST_FAILURES + 1):
        wait_until_ended(servers)
        servers.check()
        [problem] = state.problems(servers.root)
        assert "worker is down since" in problem
        assert "is restarted" in problem
        wait = group.FIRST_WAIT * 2 ** (failure - 1)
        move(servers, wait / 2)
        assert state.read(servers.root)[WORKER].state == state.RESTARTING
        move(servers, wait / 2)
        assert state.read(servers.root)[WORKER].state == state.RUNNING
        assert "worker runs again" in state.problems(servers.root)[0]
    wait_until_ended(servers)
    servers.check()
    move(servers, 10 * group.LONGEST_WAIT)
    log = state.log_file(WORKER, servers.root)
    [problem] = state.problems(servers.root)
    assert "worker is down since" in problem
    assert f"exited with status 3, 6 times in a row; its log is {log}" in problem
    lines = log.read_text().splitlines()
    assert lines.count("no database") == group.MOST_FAILURES + 1
    assert sum(line.startswith("--- started at ") for line in lines) == group.MOST_FAILURES + 1
    assert "It stays down" in capsys.readouterr().out
    monkeypatch.chdir(servers.root)
    assert any("worker is down since" in line for line in doctor.diagnose())
    assert any("worker is down since" in line for line in overview._services())


def test_a_server_that_was_killed_runs_again_and_its_failures_are_forgotten(servers: ServerGroup) -> None:
    servers.start(WORKER, STAYS, {})
    first = servers._services[WORKER].process
    first.kill()
    first.wait()
    servers.check()
    assert "was ended by SIGKILL" in state.problems(servers.root)[0]
    move(servers, group.FIRST_WAIT)
    assert servers._services[WORKER].process.pid != first.pid
    move(servers, group.STABLE)
    assert state.problems(servers.root) == []


def full_disk(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_ends_no_server_and_the_one_that_ended_runs_again(
    servers: ServerGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers.start(WORKER, STAYS, {})
    servers.start(VERIFIER, STAYS, {})
    other, worker = (servers._services[name].process for name in (VERIFIER, WORKER))
    worker.kill()
    worker.wait()
    with monkeypatch.context() as patch:
        patch.setattr(files, "write_json", full_disk)
        patch.setattr(progress, "say", full_disk)
        servers.check()
        move(servers, group.FIRST_WAIT)
    assert other.poll() is None
    servers.check()
    assert servers._services[WORKER].process.poll() is None
    assert "worker runs again" in state.problems(servers.root)[0]


def test_a_server_that_can_t_be_started_again_is_tried_later(
    servers: ServerGroup, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    servers.start(WORKER, STAYS, {})
    worker = servers._services[WORKER].process
    worker.kill()
    worker.wait()
    servers.check()
    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", full_disk)
        move(servers, group.FIRST_WAIT)
    assert "worker can't be restarted, and the next attempt is in 60 s: The disk is full" in capsys.readouterr().out
    assert "is restarted" in state.problems(servers.root)[0]
    move(servers, group.LONGEST_WAIT)
    assert servers._services[WORKER].process.poll() is None


def test_servers_that_can_t_be_recorded_do_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(SadclError, match="The disk is full"):
        ServerGroup(tmp_path, free_port())


def test_children_of_a_dead_server_give_its_port_back(servers: ServerGroup) -> None:
    child = "import subprocess, sys; subprocess.Popen([sys.executable, *sys.argv[1:]]).wait()"
    servers.start(group.PREFECT, [sys.executable, "-c", child, *STAYS[1:]], {})
    owner, log = group.owner(servers.root), state.log_file(group.PREFECT, servers.root)
    while "here" not in log.read_text():
        time.sleep(0.05)
    before = supervisor._processes_of(owner, group.PREFECT)
    servers._services[group.PREFECT].process.kill()
    servers._services[group.PREFECT].process.wait()
    servers.check()
    move(servers, group.FIRST_WAIT)
    assert len(before) == 2
    assert not before & supervisor._processes_of(owner, group.PREFECT)


def test_the_log_of_a_server_that_writes_on_stays_bounded(
    servers: ServerGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "LARGEST_LOG", 20_000)
    writes = "import time\nfor i in range(20_000):\n    print(f'line {i:05}', flush=True)\n    time.sleep(0.00005)"
    servers.start(WORKER, [sys.executable, "-c", f"{writes}\ntime.sleep(600)"], {})
    log = state.log_file(WORKER, servers.root)
    previous_log = log.with_name("worker.log.1")
    while "line 19999" not in log.read_text() + (previous_log.read_text() if previous_log.exists() else ""):
        servers.check()
        time.sleep(0.01)
    servers.check()
    lines = (previous_log.read_text() + log.read_text()).splitlines()
    assert "\0" not in log.read_text()
    assert lines[-1] == "line 19999"
    assert len(lines) < 20_000
    assert log.stat().st_size <= 20_000


def test_a_large_log_is_preserved_next_to_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "LARGEST_LOG", 10)
    log = tmp_path / "worker.log"
    for text in ("first", "second"):
        supervisor.start([sys.executable, "-c", f"print({text!r})"], "nobody", {}, log).wait()
    assert "first" in (tmp_path / "worker.log.1").read_text()
    assert "first" not in log.read_text()
    assert "second" in log.read_text()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '"x"', '{"up": 7, "registry": "x"}', '{"up": "x", "registry": "x"}']
)
def test_a_damaged_state_is_a_sentence(text: str, tmp_path: Path) -> None:
    (tmp_path / host.STATE).parent.mkdir(parents=True)
    (tmp_path / host.STATE).write_text(text)
    with pytest.raises(SadclError, match=r"Run `sadcl down`, then `sadcl up`"):
        state.problems(tmp_path)


def test_damaged_states_of_servers_are_a_sentence(tmp_path: Path) -> None:
    own = processes.process_id(os.getpid())
    for services in ("7", '{"worker": 7}', '{"worker": {"state": "gone"}}'):
        (tmp_path / host.STATE).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / host.STATE).write_text(f'{{"up": "{own}", "registry": "x", "services": {services}}}')
        with pytest.raises(SadclError, match="damaged"):
            state.problems(tmp_path)


def test_servers_of_a_killed_up_are_named(tmp_path: Path) -> None:
    state.write("1:1.00", "http://127.0.0.1:5000", {}, tmp_path)
    assert "`sadcl up` was killed" in state.problems(tmp_path)[0]
