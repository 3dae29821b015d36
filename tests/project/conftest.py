"""A tiny DVC project under git: two stages in a row and one apart, on a tracked source."""

import shutil
import subprocess
from pathlib import Path

import pytest

from sadcl import pipeline

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
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project under git before its first run; tests get copies."""
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
    """Output of git, which must not fail."""
    author = ["-c", "user.name=tester", "-c", "user.email=tester@localhost"]
    return subprocess.run(["git", *author, *words], cwd=root, check=True, capture_output=True, text=True).stdout


def save(root: Path) -> None:
    """Commit everything."""
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "as it stands")
