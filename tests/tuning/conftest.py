"""Fixtures of the tests of a search."""

import shutil
from collections.abc import Iterator
from contextlib import chdir
from itertools import count
from pathlib import Path

import pytest
import torch
import yaml

from sadcl import params, pipeline, processes
from sadcl.data import synthetic
from sadcl.data.ingest import ingest
from sadcl.data.shards import writer
from sadcl.stages import pretrain, prototypes
from tests.tuning import postgres
from tests.tuning.projects import small

torch.set_num_threads(1)
NAMES = count()


@pytest.fixture(scope="session")
def server() -> Iterator[postgres.Server]:
    """A PostgreSQL server."""
    if reason := postgres.missing():
        pytest.skip(reason)
    server = postgres.Server()
    yield server
    server.remove()


@pytest.fixture
def shared_root(server: postgres.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose studies are in a new database of PostgreSQL."""
    monkeypatch.setenv(processes.OPTUNA_STORAGE, server.database(f"studies{next(NAMES)}"))
    return small(tmp_path)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny project of real scenes in which stage 1 is done."""
    root = small(tmp_path_factory.mktemp("trained"))
    raw = params.read_settings(root / "params.yaml")
    raw["model"] |= {"side": 32, "width": 16, "heads": 2, "feedforward": 16, "embedding": 8, "weights": "random"}
    for stage in ("pretrain", "train"):
        raw[stage] |= {"epochs": 1, "batch": 8, "precision": "32-true"}
    (root / "params.yaml").write_text(yaml.safe_dump(raw))
    settings = params.load(path=root / "params.yaml")
    synthetic.generate(root / "data/raw/scenes", 7, {"train": 16, "select": 8, "test": 4})
    table = ingest(root, "data/raw/scenes", settings.ingest, 7, root / ".sadcl/cache", 1)
    writer.write_shards(table, root, root / "data/shards", settings.prepare, 1)
    with chdir(root):
        pretrain.main()
        prototypes.main()
    pipeline.set_up(root)
    (root / "dvc.yaml").write_text("stages: {}\n")
    return root


@pytest.fixture
def project(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the tiny project, as the present folder."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True, symlinks=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path
