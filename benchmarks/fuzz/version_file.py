"""Form of a fuzzed file of a registered version, and values that several of them share."""

import copy
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import yaml

from benchmarks.fuzz.mutation import structure
from sadcl import params

CLASSES = ("cat", "dog", "kite")
SIDE = 32
BIG = (5_000, 65_535, 10**6, 10**9, 2**31, 2**63, -1, 0, 1.5, 1e300)
"""Sizes that somebody may claim."""
RECIPE = params.RECIPES / "demo.yaml"
SETTINGS: dict[str, Any] = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))
SETTINGS["model"] |= {
    "backbone": "test_efficientnet", "weights": "random", "side": SIDE, "width": 16, "heads": 2, "feedforward": 16,
    "embedding": 8, "output_stride": 32,
}  # fmt: skip
DIGESTS = {name: digit * 64 for name, digit in (("weights", "0"), ("test_list", "1"), ("labels", "2"), ("shards", "3"))}


class VersionFile(NamedTuple):
    """A format.

    Attributes:
        draw: content by file name.
        read: reads the files in a folder as the project does; raises ``SadclError`` where they are refused.
    """

    draw: Callable[[Random], dict[str, bytes]]
    read: Callable[[Path], None]


def head(rng: Random) -> Any:
    """Head of a weights or ONNX file, sometimes changed."""
    value: dict[str, Any] = {
        "format": 2, "stage": "train", "classes": list(CLASSES), "best": "raw",
        "model": copy.deepcopy(SETTINGS["model"]), "thresholds": [0.5] * 3,
        "preprocessing": {"side": SIDE, "mean": [0.5] * 3, "std": [0.5] * 3},
        "calibration": {"slope": [1.0] * 3, "bias": [0.0] * 3}, "training_photos": "AAAAAAAAAAA=", "epoch": 1,
    }  # fmt: skip
    if rng.random() < 0.3:
        value["model"][rng.choice(sorted(value["model"]))] = rng.choice((*BIG, "resnet101", "sarl", "csra"))
    if rng.random() < 0.1:
        value["classes"] = [str(i) for i in range(rng.choice((0, 1, 4, 200_000)))]
    if rng.random() < 0.1:
        value["preprocessing"]["side"] = rng.choice(BIG)
    return structure(rng, value, rng.choice((0, 0, 1, 3)))
