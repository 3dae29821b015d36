"""Trainings that can't fit into the memory are refused before they start, with what would fit."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sadcl import params
from sadcl.data.ingest import ingest
from sadcl.data.shards import writer
from sadcl.errors import SadclError
from sadcl.model import device
from sadcl.training import fit
from sadcl.training.memory_check import require_memory
from tests.paths import REPOSITORY

SETTINGS = params.load(path=REPOSITORY / "recipes/demo.yaml")
TRAIN = """
import resource
from pathlib import Path
from sadcl import params
from sadcl.training import fit

settings = params.load()
model = settings.model.model_copy(update={"head": "ml_decoder", "width": 256, "heads": 8, "feedforward": 512})
print(fit.pretrain(settings.model_copy(update={"model": model}), Path("many")).best_select)
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
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


@pytest.mark.slow
def test_5000_classes_train_with_grouped_queries_in_two_gigabytes(project: Path) -> None:
    """The demo's backbone and batches of 8 photos: what the classes add is the head alone."""
    settings = params.load()
    annotations = ingest(project, "data/raw/scenes", settings.ingest, 7, project / ".sadcl/cache", 2)
    classes = (*annotations.classes, *(f"class {i}" for i in range(5000 - len(annotations.classes))))
    writer.write_shards(replace(annotations, classes=classes), project, project / "many", settings.prepare, 2)
    completed = subprocess.run([sys.executable, "-c", TRAIN], capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stderr
    assert "5,000 classes" in completed.stdout
    peak = re.search(r"peak (\d+)", completed.stdout)
    assert peak
    assert int(peak[1]) < 2000
