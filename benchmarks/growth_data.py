"""Projects with generated photos, for the growth of the stages before and after training.

Photos and networks are small: what grows with the number of photos counts here, not the time of a decoder or a network.
"""

import csv
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
import yaml

from sadcl import files
from sadcl.data.table import SPLITS
from sadcl.layout import BASELINE, CHAMPION, RAW

SIDE, FOLDER = 16, 1_000
"""Pixels of a side, and photos of a folder."""
LABELS = 2.9
"""Labels of a photo, on average, as in COCO."""
MODEL = {
    "head": "pooling", "backbone": "test_resnet", "weights": "random", "output_stride": 32, "frozen": [], "side": 32,
    "width": 16, "heads": 2, "feedforward": 16, "embedding": 8,
}  # fmt: skip
TRAINED_ON = 200
"""Photos of train and of select, or one for each class."""
BEFORE_EVALUATION = (
    "ingest", "validate", "prepare", "probe", "pretrain", "prototypes", "train", "calibrate", "rescore",
)  # fmt: skip


def generate(project: Path, photos: int, classes: int) -> None:
    """Write photos of noise with random labels, the files that stages read, and a recipe for them.

    Args:
        project: folder, which must exist.
        photos: their number.
        classes: number of labels.
    """
    _write_project(project, {"train": photos}, classes, {})


def generate_trained(project: Path, photos: int, classes: int) -> None:
    """Write a project as ``generate`` does, with the photos as its test split, and run its stages up to ``evaluate``.

    Args:
        project: folder, which must exist.
        photos: number of test photos.
        classes: number of labels.

    Raises:
        CalledProcessError: a stage failed.
    """
    short = {"epochs": 1, "batch": 50, "augmentation": {"kind": "shift", "shift": 0.1, "flip": False, "views": None}}
    changes = {"model": MODEL, "pretrain": short, "train": short, "prepare": {"shard_rows": 256}}
    few = max(TRAINED_ON, classes)
    _write_project(project, {"train": few, "select": few, "test": photos}, classes, changes)
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    for stage in BEFORE_EVALUATION:
        command = [sys.executable, "-m", "sadcl.stages", stage]
        subprocess.run(command, cwd=project, env=environment, check=True, stdout=subprocess.DEVNULL)


def _write_project(
    project: Path, photos: Mapping[str, int], classes: int, changes: Mapping[str, Mapping[str, Any]]
) -> None:
    """Write photos of each split, and a recipe with changes to its sections."""
    rng, source = np.random.default_rng(0), project / RAW / "noise"
    recipe = yaml.safe_load(Path("recipes/demo.yaml").read_text(encoding="utf-8"))
    recipe["ingest"] |= {"source": "noise", "format": "csv", "annotations": {name: f"{name}.csv" for name in photos}}
    recipe["ingest"]["images"] = dict.fromkeys(photos, "images")
    recipe["ingest"].pop("protocol", None)
    recipe["validate"] |= {"min_side": SIDE, "max_unlabelled": 1.0, "min_positives": dict.fromkeys(SPLITS, 0)}
    for section, values in changes.items():
        recipe[section] |= values
    files.write_text(project / "params.yaml", yaml.safe_dump(recipe, sort_keys=False))
    for accepted in (BASELINE, CHAMPION):
        files.write_json(project / accepted, None)
    for name, number in photos.items():
        _write_photos(source, name, number, classes, rng)


def _write_photos(source: Path, split: str, photos: int, classes: int, rng: np.random.Generator) -> None:
    """Write the photos of a split into folders of ``FOLDER``, and their labels as CSV."""
    (source / "images").mkdir(parents=True, exist_ok=True)
    with (source / f"{split}.csv").open("w", encoding="utf-8", newline="") as opened:
        rows = csv.writer(opened)
        rows.writerow(["file", "labels"])
        for first in range(0, photos, FOLDER):
            count = min(FOLDER, photos - first)
            folder = source / "images" / f"{split}-{first // FOLDER:04}"
            folder.mkdir()
            pixels = rng.integers(0, 256, (count, SIDE, SIDE, 3), np.uint8)
            present = rng.random((count, classes)) < (LABELS - 1) / classes
            present[np.arange(count), np.arange(first, first + count) % classes] = True  # no class is without a photo
            for i in range(count):
                (folder / f"{i:03}.jpg").write_bytes(simplejpeg.encode_jpeg(pixels[i]))
                names = ";".join(f"class {j}" for j in np.flatnonzero(present[i]))
                rows.writerow([f"{folder.name}/{i:03}.jpg", names])
