"""A project as the stages calibrate, evaluate and rescore find it: tiny shards and untrained networks."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml
from PIL import Image

from sadcl import files, params
from sadcl.data import table
from sadcl.model.network import Network
from sadcl.stages import calibrate, evaluate
from sadcl.weights import checkpoint
from tests.paths import REPOSITORY

RECIPE = REPOSITORY / "recipes/demo.yaml"
CLASSES = ("cat", "dog", "cow")
MODEL = params.Model(
    backbone="test_resnet", weights="random", output_stride=32, side=64, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5),
    width=16, heads=2, feedforward=16, embedding=8,
)  # fmt: skip


def photos(root, test=12, select=8):
    """A table of test and select photos; the class `cow` is nowhere."""
    rng, rows = np.random.default_rng(0), []
    (root / "raw").mkdir(parents=True)
    for i in range(test + select):
        file = root / "raw" / f"{i:02d}.png"
        Image.fromarray(rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(file)
        rows.append(
            {
                "image_id": f"{i:02d}", "file": file.name, "split": "test" if i < test else "select",
                "labels": [i % 2], "ignored": [],
                "width": 50, "height": 40, "bytes": file.stat().st_size, "sha256": files.digest(file),
                "brightness": 99.0, "sharpness": 9.0, "phash": 1,
                "problem": None, "camera": "left" if i % 3 else "right",
            }
        )  # fmt: skip
    return table.Table(pd.DataFrame(rows), CLASSES, "raw", {})


def save(path, seed, classes=CLASSES, **other):
    """Untrained weights; raw and averaged ones differ."""
    tensors = {}
    for which in ("raw", "ema"):
        torch.manual_seed(seed if which == "raw" else seed + 1)
        network = Network(MODEL.model_copy(update={"head": other.get("model", {}).get("head", "sarl")}), len(classes))
        tensors |= {f"{which}.network.{name}": value.contiguous() for name, value in network.state_dict().items()}
    head = {
        "format": 1, "stage": "train", "classes": list(classes), "model": MODEL.model_dump(mode="json"),
        "preprocessing": {"side": 64, "mean": [0.5] * 3, "std": [0.5] * 3}, "settings": {}, "seed": 0, "epoch": 1,
        "best": "raw", "select": {"raw": 2.0, "ema": 1.0}, "inputs": {}, "training_photos": "", "thresholds": None,
        "device": "cpu", "precision": "32-true",
    }  # fmt: skip
    checkpoint.save(path, tensors, {**head, **other})


def judge():
    """Make the model for use, and score it."""
    calibrate.main()
    return evaluate.main()


def write_champion(project, **head):
    """A champion in the project's files: another untrained network."""
    file = project / "data/champion/weights.safetensors"
    save(file, 9, **head)
    name_champion(file)
    return file


def name_champion(file):
    files.write_json("data/champion.json", {"name": "n-production", "version": "1", "weights": files.digest(file)})


def change_settings(section, **changed):
    settings = params.read_settings()
    settings[section] |= changed
    Path("params.yaml").write_text(yaml.safe_dump(settings))


def read_metrics():
    return json.loads(Path("reports/metrics.json").read_text())


def read_verdict():
    return json.loads(Path("reports/verdict.json").read_text())
