"""Child processes end with their parents; output, status and environment of commands and of git."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from sadcl import processes
from sadcl.errors import SadclError

STAGE = """
import os, sys, time
from pathlib import Path
from sadcl import processes
processes.end_with_parents(every=0.05)
Path("stage.pid").write_text(str(os.getpid()))
time.sleep(120)
"""
OWNER = """
import sys
from sadcl import processes
processes.run(["sh", "-c", f"exec {sys.executable} middle.py"])
"""
MIDDLE = """
import subprocess, sys
subprocess.run(f"{sys.executable} stage.py; true", shell=True)
"""


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("victim", ["owner", "middle"])
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
def test_stage_ends_with_each_of_its_ancestors(tmp_path: Path, victim: str, sign: signal.Signals) -> None:
    for name, text in (("stage", STAGE), ("owner", OWNER), ("middle", MIDDLE)):
        (tmp_path / f"{name}.py").write_text(text)
    owner = subprocess.Popen([sys.executable, "owner.py"], cwd=tmp_path, stderr=subprocess.DEVNULL)
    try:
        eventually((tmp_path / "stage.pid").exists)
        eventually(lambda: (tmp_path / "stage.pid").read_text() != "")
        stage = psutil.Process(int((tmp_path / "stage.pid").read_text()))
        middle = next(p for p in stage.parents() if "middle.py" in p.cmdline())
        os.kill(owner.pid if victim == "owner" else middle.pid, sign)
        eventually(lambda: not stage.is_running() or stage.status() == psutil.STATUS_ZOMBIE)
    finally:
        owner.kill()
        owner.wait()


def test_run_returns_status_and_output() -> None:
    lines: list[str] = []
    code, printed = processes.run(["sh", "-c", "echo one; echo two >&2; exit 3"], line=lines.append)
    assert (code, sorted(printed.split()), sorted(lines)) == (3, ["one", "two"], ["one", "two"])


def test_logins_in_the_environment_of_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    logins = (*processes.LOGIN, processes.PREFECT_LOGIN)
    for name in logins:
        monkeypatch.setenv(name, "a secret")
    show = [sys.executable, "-c", "import os; print(*[name for name in os.environ if os.environ[name] == 'a secret'])"]
    assert processes.run(show) == (0, "\n")
    assert set(processes.run(show, login=True)[1].split()) == set(processes.LOGIN)
    assert {name for name in logins if name in processes.child_environment()} == set()


def test_interrupt_ends_the_whole_group(tmp_path: Path) -> None:
    def stop(_: str) -> None:
        raise KeyboardInterrupt

    pid = tmp_path / "pid"
    with pytest.raises(KeyboardInterrupt):
        processes.run(["sh", "-c", f"sleep 120 & echo $! > {pid}; echo started; wait"], line=stop)
    child = int(pid.read_text())
    eventually(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)


def test_git_returns_status_and_output(tmp_path: Path) -> None:
    assert processes.git(tmp_path, "init", "--quiet").returncode == 0
    status = processes.git(tmp_path, "rev-parse", "--is-inside-work-tree")
    assert (status.returncode, status.stdout, status.stderr) == (0, "true\n", "")
    failure = processes.git(tmp_path, "rev-parse", "--verify", "HEAD")
    assert failure.returncode == 128
    assert "fatal" in failure.stderr


def test_git_that_is_missing_or_hangs_has_status_127(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    processes.git(tmp_path, "init", "--quiet")
    hang = ("-c", "alias.hang=!sleep 10", "hang")
    result = processes.git(tmp_path, *hang, timeout=0.5)
    assert (result.returncode, result.stdout) == (127, "")
    assert "timed out" in result.stderr
    assert processes.git(tmp_path / "missing", "status").returncode == 127
    monkeypatch.setenv("PATH", str(tmp_path))
    assert processes.git(tmp_path, "status").returncode == 127


def test_git_gets_no_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*processes.LOGIN, processes.PREFECT_LOGIN):
        monkeypatch.setenv(name, "a secret")
    processes.git(tmp_path, "init", "--quiet")
    shown = processes.git(tmp_path, "-c", "alias.environment=!env", "environment").stdout
    assert "PATH=" in shown
    assert "a secret" not in shown


@pytest.mark.parametrize(("value", "engine"), [("local", "local"), ("ray", "ray"), ("", None), (None, None)])
def test_the_engine_is_that_of_the_variable(
    value: str | None, engine: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(processes.ENGINE, raising=False)
    if value is not None:
        monkeypatch.setenv(processes.ENGINE, value)
    assert processes.engine() == engine


def test_an_unknown_engine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(processes.ENGINE, "spark")
    with pytest.raises(SadclError, match="There is no engine 'spark'") as caught:
        processes.engine()
    assert caught.value.fix == "Use local or ray"


@pytest.mark.parametrize("value", ["x", "-1", "0", "1.5", "99999"])
def test_a_number_of_workers_that_is_none_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SADCL_WORKERS", value)
    with pytest.raises(SadclError, match="no positive whole number") as caught:
        processes.workers()
    assert caught.value.where == "SADCL_WORKERS"


@pytest.mark.parametrize("value", ["x", "-1", "nan", "inf"])
def test_seconds_that_are_none_are_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_VARIABLE", value)
    with pytest.raises(SadclError, match=f"'{value}' is no number of seconds"):
        processes.seconds("A_VARIABLE", 600)


def test_seconds_of_a_variable_or_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert processes.seconds("A_VARIABLE", 600) == 600
    monkeypatch.setenv("A_VARIABLE", "0.5")
    assert processes.seconds("A_VARIABLE", 600) == 0.5


def test_an_ending_process_looks_for_no_reference_cycles() -> None:
    # handlers run in reverse: this one after that of `collect_rarely`
    first = "import atexit, gc; atexit.register(lambda: print(len(gc.get_objects())))"
    program = f"{first}; from sadcl import processes; processes.collect_rarely()"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(ran.stdout) < 100  # objects that a search would visit; thousands otherwise
