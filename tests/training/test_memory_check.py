"""Trainings that can't fit into the memory are refused before they start, with what would fit."""

from pathlib import Path

import pytest

from sadcl import params
from sadcl.errors import SadclError
from sadcl.model import device
from sadcl.training import fit
from sadcl.training.memory_check import require_memory
from tests.paths import REPOSITORY

SETTINGS = params.load(path=REPOSITORY / "recipes/demo.yaml")
MODEL = SETTINGS.model.model_copy(update={"width": 256, "feedforward": 512, "dropout": 0.1})


def test_cost_is_described() -> None:
    sentence = require_memory(MODEL, SETTINGS.pretrain, 10, 24_000_000_000, 50)
    assert sentence.startswith("10 classes, ")
    assert "of 24.0 GB" in sentence


def test_5000_classes_of_sarl_are_refused_with_a_batch_and_a_head_that_fit() -> None:
    memory = 8_000_000_000
    with pytest.raises(SadclError, match=r"5,000 classes, 50 photos a step") as error:
        require_memory(MODEL, SETTINGS.pretrain, 5000, memory, 50)
    fix = str(error.value.fix)
    assert "model.head to ml_decoder" in fix
    batch = int(fix.split("batch to ")[1].split(",")[0])
    smaller = SETTINGS.pretrain.model_copy(update={"batch": batch})
    require_memory(MODEL, smaller, 5000, memory, batch)
    grouped = MODEL.model_copy(update={"head": "ml_decoder"})
    require_memory(grouped, SETTINGS.pretrain, 5000, memory, 50)


def test_processes_share_the_batch() -> None:
    memory = 8_000_000_000
    require_memory(MODEL, SETTINGS.pretrain, 5000, memory, 25)


def test_weights_that_alone_are_too_large_have_another_advice() -> None:
    with pytest.raises(SadclError, match="at least") as error:
        require_memory(MODEL, SETTINGS.pretrain, 5000, 10_000_000, 50)
    assert "device with more memory" in str(error.value.fix)


def test_a_training_that_cannot_fit_is_refused_before_it_starts(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "MANY_CLASSES", 9)
    monkeypatch.setattr(device, "memory", lambda _: 1_000_000)
    with pytest.raises(SadclError, match=r"Training needs at least .* 10 classes"):
        fit.pretrain(params.load(), Path("data/shards"))
