"""Nobody leaves a child behind."""

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
def test_a_stage_ends_when_whoever_wanted_it_is_killed(tmp_path: Path, victim: str, sign: signal.Signals) -> None:
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


def test_a_command_gives_its_status_and_everything_it_printed() -> None:
    lines: list[str] = []
    code, printed = processes.run(["sh", "-c", "echo one; echo two >&2; exit 3"], line=lines.append)
    assert (code, sorted(printed.split()), sorted(lines)) == (3, ["one", "two"], ["one", "two"])


def test_a_command_has_no_log_in_unless_it_asks_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    logins = (*processes.LOGIN, processes.PREFECT_LOGIN)
    for name in logins:
        monkeypatch.setenv(name, "a secret")
    show = [sys.executable, "-c", "import os; print(*[name for name in os.environ if os.environ[name] == 'a secret'])"]
    assert processes.run(show) == (0, "\n")
    assert set(processes.run(show, login=True)[1].split()) == set(processes.LOGIN)
    assert {name for name in logins if name in processes.child_environment()} == set()


def test_an_interrupted_command_takes_its_whole_group_along(tmp_path: Path) -> None:
    def stop(_: str) -> None:
        raise KeyboardInterrupt

    pid = tmp_path / "pid"
    with pytest.raises(KeyboardInterrupt):
        processes.run(["sh", "-c", f"sleep 120 & echo $! > {pid}; echo started; wait"], line=stop)
    child = int(pid.read_text())
    eventually(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)
