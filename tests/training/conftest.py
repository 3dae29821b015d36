"""A tiny project on real scenes: every room for real, seconds to train."""

import shutil
from pathlib import Path

import pytest
import torch
import yaml

from sadcl import params
from sadcl.data import synthetic
from sadcl.data.ingest import ingest
from sadcl.data.shards import writer
from tests.paths import REPOSITORY

torch.set_num_threads(1)
SIZES = {"train": 20, "select": 8, "test": 6}


def tiny_settings() -> dict[str, object]:
    raw = params.read_settings(REPOSITORY / "recipes/demo.yaml")
    raw["model"] |= {"side": 32, "width": 16, "heads": 2, "feedforward": 16, "embedding": 8, "weights": "random"}
    raw["model"]["dropout"] = 0.1
    for stage in ("pretrain", "train"):
        raw[stage] |= {"epochs": 3, "batch": 8, "ema_epochs": 1.0}
        raw[stage]["augmentation"]["views"] = None
    return raw


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    synthetic.generate(root / "data/raw/scenes", 7, SIZES)
    (root / "params.yaml").write_text(yaml.safe_dump(tiny_settings()))
    settings = params.load(path=root / "params.yaml")
    table = ingest(root, "data/raw/scenes", settings.ingest, 7, root / ".sadcl/cache", 2)
    writer.write_shards(table, root, root / "data/shards", settings.prepare, 2)
    shutil.rmtree(root / ".sadcl", ignore_errors=True)
    return root


@pytest.fixture
def project(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of one's own, and the working directory."""
    shutil.copytree(template, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"
