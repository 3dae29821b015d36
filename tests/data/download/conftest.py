"""A project that downloads, and the flaky server that it downloads from."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from sadcl import pipeline
from tests.data.download.flaky_server import Files, serving


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Files]:
    with serving(tmp_path) as running:
        yield running


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project without stages; tests get copies."""
    root = tmp_path_factory.mktemp("download") / "project"
    root.mkdir()
    pipeline.set_up(root)
    (root / "dvc.yaml").write_text("stages: {}\n")
    return root


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Path:
    return shutil.copytree(template, tmp_path / "project")
