"""A project whose stages up to training have run."""

import shutil

import pytest
import yaml

from sadcl import files, params
from sadcl.data.shards import writer
from tests.stages.scored_project import RECIPE, photos, save


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """Build the files that calibrate, evaluate and rescore read."""
    root = tmp_path_factory.mktemp("template")
    settings = params.parse(params.read_settings(RECIPE), where=RECIPE)
    writer.write_shards(photos(root), root, root / "data/shards", settings.prepare, workers=1)
    save(root / "models/pretrain/weights.safetensors", 1)
    save(root / "models/train/weights.safetensors", 5)
    save(root / "models/probe/weights.safetensors", 7)
    (root / "params.yaml").write_text(yaml.safe_dump(params.read_settings(RECIPE)))
    files.write_json(root / "data/champion.json", None)
    return root


@pytest.fixture
def project(template, tmp_path, monkeypatch):
    shutil.copytree(template, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"
