"""A project before its first run."""

from pathlib import Path

import pytest

from sadcl import pipeline
from tests.paths import REPOSITORY


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project before its first run; tests change nothing in it."""
    root = tmp_path_factory.mktemp("template")
    (root / "recipes").mkdir()
    for name in ("dvc.yaml", "recipes/demo.yaml", "recipes/scenes.yaml"):
        (root / name).write_text((REPOSITORY / name).read_text())
    (root / "params.yaml").write_text((REPOSITORY / "recipes/demo.yaml").read_text())
    pipeline.set_up(root)
    return root
