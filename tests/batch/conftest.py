"""A small untrained model, and folders of photos."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sadcl import params
from sadcl.batch.job import Options
from sadcl.model.network import Network
from sadcl.weights import checkpoint
from tests.paths import REPOSITORY
from tests.s3_bucket import bucket, moto

__all__ = ["bucket", "moto"]

CLASSES = ["cat", "dog", "kite"]
GOOD = ["a-b/3.jpg", "a.jpg", "a/1.jpg", "a/2.png", *(f"many/{i}.jpg" for i in range(10, 50)), "z.webp", "é 日本/4.JPG"]
BAD = ["a/broken.jpg", "empty.png"]
"""Photos of the fixture ``photos``, and its files that are none."""
ONE = Options(workers=1)
MODEL = params.Model(
    backbone="test_resnet", weights="random", side=64, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4),
    width=16, heads=2, feedforward=16, embedding=8, groups=3,
)  # fmt: skip


def write_model(path: Path, seed: int = 0, model: params.Model = MODEL) -> Path:
    """Untrained weights, sharp enough that another photo shows in the probabilities."""
    torch.manual_seed(seed)
    network = Network(model, len(CLASSES), start=False).eval()
    with torch.no_grad():
        for name, parameter in network.head.named_parameters():
            if name in ("weight", "linear.weight"):
                parameter.mul_(20)
    head = {
        "stage": "train", "classes": CLASSES, "model": model.model_dump(mode="json"), "thresholds": [0.4, 0.5, 0.6],
        "preprocessing": {"side": model.side, "mean": list(model.mean), "std": list(model.std)},
    }  # fmt: skip
    checkpoint.save(path, {f"ema.network.{name}": tensor for name, tensor in network.state_dict().items()}, head)
    return path


def write_photo(path: Path, seed: int) -> Path:
    """A photo of noise, the same for the same seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (12, 16, 3), np.uint8)
    Image.fromarray(pixels).resize((80, 60), Image.Resampling.BICUBIC).save(path)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    """Bytes of the files of a job, but for its lock."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "weights.safetensors")


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good photos in folders whose order is not that of their names, and bad ones; tests change nothing in it."""
    root = tmp_path_factory.mktemp("photos")
    for seed, name in enumerate(["a/1.jpg", "a/2.png", "a.jpg", "a-b/3.jpg", "é 日本/4.JPG", "z.webp"]):
        write_photo(root / name, seed)
    for seed in range(10, 50):
        write_photo(root / f"many/{seed}.jpg", seed)
    (root / "a/broken.jpg").write_bytes((root / "a/1.jpg").read_bytes()[:300])
    (root / "empty.png").touch()
    (root / "notes.txt").write_text("no photo")
    (root / ".hidden.jpg").touch()
    return root


def begin_with(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every Python process that starts from now on run some code first."""
    (folder / "start").mkdir()
    (folder / "start/sitecustomize.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", f"{folder / 'start'}{os.pathsep}{os.environ.get('PYTHONPATH', REPOSITORY)}")
