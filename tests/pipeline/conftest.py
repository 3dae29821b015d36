"""A DVC project of four tiny stages, before and after its first run."""

import shutil
from pathlib import Path

import pytest

from sadcl import pipeline

PIPELINE = """
stages:
  two:
    cmd: python two.py
    deps: [one.txt, two.py]
    outs: [two.txt]
  one:
    desc: the first of all
    cmd: python one.py
    deps: [source.txt, one.py]
    params: [word]
    outs: [one.txt]
  aside:
    cmd: python aside.py
    deps: [source.txt, aside.py]
    outs: [aside.txt]
  three:
    cmd: python three.py
    deps: [two.txt, aside.txt, three.py]
    outs: [three.txt]
"""

WRITE = """
from pathlib import Path
print("{name}: reads {reads}")
Path("{name}.txt").write_text(Path("{reads}").read_text() + "{name}")
print("{name}: done")
"""


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project before its first run, and one after it; tests get copies."""
    folder = tmp_path_factory.mktemp("templates")
    root = folder / "fresh"
    root.mkdir()
    pipeline.set_up(root)
    (root / "dvc.yaml").write_text(PIPELINE)
    (root / "params.yaml").write_text("word: hello\nother: 1\n")
    (root / "source.txt").write_text("source")
    for name, reads in (("one", "source.txt"), ("two", "one.txt"), ("aside", "source.txt"), ("three", "two.txt")):
        (root / f"{name}.py").write_text(WRITE.format(name=name, reads=reads))
    shutil.copytree(root, folder / "done")
    pipeline.reproduce(root=folder / "done")
    return folder


@pytest.fixture
def fresh(templates: Path, tmp_path: Path) -> Path:
    """A project before its first run."""
    return shutil.copytree(templates / "fresh", tmp_path / "a project")


@pytest.fixture
def done(templates: Path, tmp_path: Path) -> Path:
    """A project after its first run."""
    return shutil.copytree(templates / "done", tmp_path / "a project")
