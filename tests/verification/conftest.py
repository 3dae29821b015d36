"""A project whose models are really scored: test photos in shards, tiny networks, a real registry (sqlite)."""

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from sadcl import files, params
from sadcl.data import table
from sadcl.data.shards import writer
from sadcl.model.network import Network
from sadcl.registry import client
from sadcl.registry.promote import promote
from sadcl.registry.publish import publish
from sadcl.stages import calibrate, evaluate, gate, rescore
from sadcl.verification import acceptance, confinement, scoring
from sadcl.weights import checkpoint
from tests.paths import REPOSITORY
from tests.registry.conftest import ProjectStates, create_project_states, project, project_states, promoted  # noqa: F401 - fixtures

torch.set_num_threads(1)
WORKER = """
import errno
import os
from pathlib import Path

from sadcl import files
from sadcl.errors import SadclError
from sadcl.verification import confined_call


def work(**_):
    {body}


confined_call.serve(work)
"""
CLASSES = ("cat", "dog", "kite")
MODEL = {
    "backbone": "test_resnet", "weights": "random", "output_stride": 32, "side": 64, "width": 16, "heads": 2,
    "feedforward": 16, "embedding": 8, "frozen": [],
}  # fmt: skip
RULES = [
    {"kind": "absolute", "metric": "mAP", "at_least": 0.0, "by": "value"},
    {"kind": "relative", "metric": "mAP", "margin": 90.0, "by": "value"},
]


def settings() -> dict[str, Any]:
    """The recipe of the demo, with a tiny network and rules that any model passes."""
    raw = params.read_settings(REPOSITORY / "recipes/demo.yaml")
    raw["model"] |= MODEL
    raw["register"]["name"] = "tiny"
    raw["gate"] = {"rules": copy.deepcopy(RULES)}
    return raw


def write_photos(root: Path, labels: Callable[[int], list[int]] = lambda i: [i % 3], test: int = 30) -> None:
    """Write shards with photos of noise, twelve of them to select thresholds on."""
    rng, rows = np.random.default_rng(0), []
    folder = root / "raw"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for i in range(test + 12):
        file = folder / f"{i:02d}.png"
        Image.fromarray(rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(file)
        rows.append(
            {
                "image_id": f"{i:02d}", "file": file.name, "split": "test" if i < test else "select",
                "labels": labels(i), "ignored": [], "width": 50, "height": 40, "bytes": file.stat().st_size,
                "sha256": files.digest(file), "brightness": 99.0, "sharpness": 9.0, "phash": 1, "problem": None,
            }
        )  # fmt: skip
    shutil.rmtree(root / "data/shards", ignore_errors=True)
    annotations = table.Table(pd.DataFrame(rows), CLASSES, "raw", {})
    prepare = params.parse(settings(), where="settings").prepare
    writer.write_shards(annotations, root, root / "data/shards", prepare, workers=1)


def save(path: Path, seed: int) -> None:
    """Write weights of an untrained network."""
    model = params.parse(settings(), where="settings").model
    tensors = {}
    for which in ("raw", "ema"):
        torch.manual_seed(seed if which == "raw" else seed + 1000)
        state = Network(model, len(CLASSES), start=False).state_dict()
        tensors |= {f"{which}.network.{name}": value.contiguous() for name, value in state.items()}
    preprocessing = {"side": model.side, "mean": list(model.mean), "std": list(model.std)}
    head = {
        "format": 1, "stage": "train", "classes": list(CLASSES), "model": model.model_dump(mode="json"),
        "preprocessing": preprocessing, "settings": {}, "seed": seed, "epoch": 1, "best": "raw", "select": None,
        "inputs": {"train": "a" * 64, "select": "b" * 64}, "seen": [], "thresholds": None, "device": "cpu",
        "precision": "32-true",
    }  # fmt: skip
    checkpoint.save(path, tensors, head)


def train(seed: int, forge: Callable[[], None] = lambda: None) -> None:
    """Write what a run writes: a model with its scores, figures and verdict.

    Args:
        seed: of its weights.
        forge: changes files after the model was scored and before it is judged.
    """
    for stage in ("pretrain", "train"):
        save(Path(f"models/{stage}/weights.safetensors"), seed)
        files.write_text(Path(f"models/{stage}/history.csv"), "epoch,loss,lr,select_mAP\n1,0.5,0.001,70.5\n")
    calibrate.main()
    evaluate.main()
    rescore.main()
    forge()
    gate.main()
    files.write_json(Path("reports/validation.json"), {"passed": True})
    files.write_text(Path("reports/report.html"), "<p>report</p>")
    files.write_text(Path("dvc.lock"), "schema: '2.0'\n")


@pytest.fixture(scope="session")
def states(tmp_path_factory: pytest.TempPathFactory) -> ProjectStates:
    """The states `empty` (nothing is registered) and `promoted` (version 1 is champion)."""
    created = create_project_states(tmp_path_factory.mktemp("verification"), settings(), write_photos)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(client.ADDRESS, raising=False)
        patch.chdir(created.root)
        train(1)
        publish()
        promote(1, "the first", first=True)
        acceptance.accept_project("the first rules")
        created.save("promoted")
    return created


@pytest.fixture
def run_instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], object]:
    """Let workers run other code, the body of a function, from now on."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(confinement, "sees_only_its_files", lambda: False)
    monkeypatch.setattr(scoring, "WORKER", "other_worker")
    return lambda body: (tmp_path / "other_worker.py").write_text(WORKER.format(body=body))
