"""sadcl clean and sadcl doctor: what they name, and what they leave alone."""

import os
from pathlib import Path

import pytest
import torch

from sadcl import params, pipeline
from sadcl.errors import SadclError
from sadcl.model import device
from sadcl.project import cleanup, doctor, settings
from tests.paths import REPOSITORY


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_clean_names_what_a_killed_stage_left_and_not_what_one_is_writing(folder: Path) -> None:
    left, being_written = folder / "data/shards/.train.x1.part", folder / "models/.weights.x2.part"
    for part in (left / "train-0.parquet", being_written):
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(b"12345")
    (folder / "models/weights.safetensors").write_bytes(b"whole")
    os.utime(left, (0, 0))
    assert cleanup.removable() == [(left.relative_to(folder), 5)]


@pytest.mark.parametrize("precision", ["32-true", "64-true"])
def test_every_processor_has_plain_precisions(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SADCL_DEVICE", "cpu")
    assert not device.slow(precision)


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_doctor_warns_of_a_precision_that_this_processor_emulates(
    precision: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SADCL_DEVICE", "cpu")
    recipe = (
        (REPOSITORY / "recipes/scenes.yaml").read_text().replace("precision: 32-true", f"precision: {precision}", 1)
    )
    (folder / "params.yaml").write_text(recipe)
    emulated = precision == "16-mixed" or not torch.ops.mkldnn._is_mkldnn_bf16_supported()
    warned = [line for line in doctor.doctor() if "pretrain.precision" in line]
    assert len(warned) == emulated
    assert not [line for line in doctor.doctor() if "train.precision" in line.replace("pretrain", "")]


def test_an_empty_folder_has_the_recipes_that_come_with_the_package_and_its_own_come_first(folder: Path) -> None:
    pipeline.start(folder)
    assert settings.use_recipe("nuswide-r101-448") == ["params.yaml is now the recipe nuswide-r101-448"]
    assert (folder / "params.yaml").read_bytes() == (REPOSITORY / "recipes/nuswide-r101-448.yaml").read_bytes()
    assert {path.stem for path in (REPOSITORY / "recipes").glob("*.yaml")} <= params.known_recipes(folder).keys()
    own = (REPOSITORY / "recipes/scenes.yaml").read_text().replace("seed: ", "seed: 1", 1)
    (folder / "recipes").mkdir()
    (folder / "recipes/demo.yaml").write_text(own)
    assert settings.use_recipe("demo") == ["params.yaml is now the recipe demo"]
    assert (folder / "params.yaml").read_text() == own
    with pytest.raises(SadclError, match=r"no recipe '\.\./params'.*Choose one of .*demo"):
        settings.use_recipe("../params")


def test_doctor_says_that_a_source_is_not_versioned(folder: Path) -> None:
    (folder / "params.yaml").write_text((REPOSITORY / "recipes/scenes.yaml").read_text())
    (folder / "data/raw/scenes").mkdir(parents=True)
    assert any("dvc add data/raw/scenes" in line for line in doctor.doctor())
    (folder / "data/raw/scenes.dvc").touch()
    assert not any("dvc add" in line for line in doctor.doctor())
