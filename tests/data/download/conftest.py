"""A project that downloads, and the flaky server that it downloads from."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.data.download.flaky_server import Files, empty_project, serving


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Files]:
    with serving(tmp_path) as running:
        yield running


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return empty_project(tmp_path / "project")
