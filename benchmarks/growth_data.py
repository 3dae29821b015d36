"""A project with generated photos, for the growth of the stages before training.

Photos are small: what grows with their number counts here, not the time that a decoder takes.
"""

import csv
from pathlib import Path

import numpy as np
import simplejpeg
import yaml

from sadcl import files
from sadcl.data.table import SPLITS
from sadcl.layout import BASELINE, RAW

SIDE, FOLDER = 16, 1_000
"""Pixels of a side, and photos of a folder."""
LABELS = 2.9
"""Labels of a photo, on average, as in COCO."""


def generate(project: Path, photos: int, classes: int) -> None:
    """Write photos of noise with random labels, the files that stages read, and a recipe for them.

    Args:
        project: folder, which must exist.
        photos: their number.
        classes: number of labels.
    """
    rng, source = np.random.default_rng(0), project / RAW / "noise"
    recipe = yaml.safe_load(Path("recipes/demo.yaml").read_text(encoding="utf-8"))
    recipe["ingest"] |= {"source": "noise", "format": "csv", "annotations": {"train": "labels.csv"}}
    recipe["ingest"]["images"] = {"train": "images"}
    recipe["ingest"].pop("protocol", None)
    recipe["validate"] |= {"min_side": SIDE, "max_unlabelled": 1.0, "min_positives": dict.fromkeys(SPLITS, 0)}
    files.write_text(project / "params.yaml", yaml.safe_dump(recipe, sort_keys=False))
    files.write_json(project / BASELINE, None)
    (source / "images").mkdir(parents=True)
    with (source / "labels.csv").open("w", encoding="utf-8", newline="") as opened:
        rows = csv.writer(opened)
        rows.writerow(["file", "labels"])
        for first in range(0, photos, FOLDER):
            count = min(FOLDER, photos - first)
            folder = source / "images" / f"{first // FOLDER:04}"
            folder.mkdir()
            pixels = rng.integers(0, 256, (count, SIDE, SIDE, 3), np.uint8)
            present = rng.random((count, classes)) < LABELS / classes
            for i in range(count):
                (folder / f"{i:03}.jpg").write_bytes(simplejpeg.encode_jpeg(pixels[i]))
                names = ";".join(f"class {j}" for j in np.flatnonzero(present[i]))
                rows.writerow([f"{folder.name}/{i:03}.jpg", names])
