"""A tiny DVC project under git, and one Prefect server for all tests here."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows import environment
from sadcl import pipeline

environment.prepare()  # before Prefect is imported

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
    deps: [other.txt, aside.py]
    outs: [aside.txt]
"""

WRITE = """
from pathlib import Path
Path("{name}.txt").write_text(Path("{reads}").read_text() + " {name}")
print("{name}: wrote {name}.txt")
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
    pipeline.set_up(root)
    (root / "dvc.yaml").write_text(PIPELINE)
    (root / "params.yaml").write_text("word: hello\n")
    (root / "source.txt").write_text("source")
    (root / "other.txt").write_text("other")
    for name, reads in (("ingest", "source.txt"), ("aside", "other.txt"), ("three", "ingest.txt")):
        (root / f"{name}.py").write_text(WRITE.format(name=name, reads=reads))
    pipeline.add(root / "source.txt")
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
