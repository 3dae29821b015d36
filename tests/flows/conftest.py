"""A tiny DVC project under git, and one Prefect server for all tests here."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from flows import environment  # noqa: F401 - before Prefect
from sadcl import graph

PIPELINE = """
stages:
  three:
    cmd: python three.py
    deps: [ingest.txt, three.py]
    outs: [three.txt]
  ingest:
    cmd: python ingest.py
    deps: [source.txt, ingest.py]
    params: [word]
    outs: [ingest.txt]
  aside:
    cmd: python aside.py
    deps: [source.txt, aside.py]
    outs: [aside.txt]
"""

WRITE = """
from pathlib import Path
Path("{name}.txt").write_text(Path("{reads}").read_text() + " {name}")
print("{name}: wrote {name}.txt")
"""

SLOW = """
import os, time
from pathlib import Path
from sadcl import processes
processes.end_with_parents(0.05)
Path(r"{pid}").write_text(str(os.getpid()))
time.sleep(120)
"""


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """A Prefect server with a database of its own; its address."""
    from prefect.settings import PREFECT_API_URL
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield str(PREFECT_API_URL.value())


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project under git in which nothing ran yet; tests get copies."""
    root = tmp_path_factory.mktemp("template") / "project"
    root.mkdir()
    (root / ".gitignore").write_text("/.sadcl/\n/.dvc-remote/\n")
    git(root, "init", "--quiet", "--initial-branch", "main")
    graph.set_up(root)
    (root / "dvc.yaml").write_text(PIPELINE)
    (root / "params.yaml").write_text("word: hello\n")
    (root / "source.txt").write_text("source")
    for name, reads in (("ingest", "source.txt"), ("aside", "source.txt"), ("three", "ingest.txt")):
        (root / f"{name}.py").write_text(WRITE.format(name=name, reads=reads))
    graph.add(root / "source.txt")
    save(root)
    return root


@pytest.fixture
def project(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the tiny project, without any registry."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return shutil.copytree(template, tmp_path / "a project")


def git(root: Path, *words: str) -> str:
    """What git prints; it must not fail."""
    who = ["-c", "user.name=tester", "-c", "user.email=tester@localhost"]
    return subprocess.run(["git", *who, *words], cwd=root, check=True, capture_output=True, text=True).stdout


def save(root: Path) -> None:
    """Commit everything."""
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "as it stands")


def start(root: Path, server: str, module: str, *words: str) -> "subprocess.Popen[str]":
    """One of the flows as a person starts it, its lines kept."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *words], cwd=root, text=True, env={**os.environ, "PREFECT_API_URL": server},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def wait_for(happened: Callable[[], bool], seconds: float = 60) -> None:
    """Poll with a deadline: how long a machine takes is no part of any test."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def trainer(pid: Path) -> psutil.Process:
    """The slow stage, once it says that it is there."""
    wait_for(lambda: pid.exists() and pid.read_text() != "")
    return psutil.Process(int(pid.read_text()))


def gone(process: psutil.Process) -> bool:
    """Whether it ended."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
