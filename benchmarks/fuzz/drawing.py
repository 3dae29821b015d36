"""Draws of parts that exports have in common: file names, labels, one list of labels or one for each split."""

from collections.abc import Callable
from random import Random
from typing import Any

from benchmarks.fuzz.mutation import LABELS, NAMES, pick

Export = tuple[dict[str, bytes], dict[str, Any]]
"""Contents by file name, and the settings of ingest that read them."""
PLAIN = (*(f"{folder}{i}.jpg" for folder in ("", "b/", "c/d/") for i in range(20)), "b/2.png")
"""Photos, so many that two rows rarely name the same one."""
SPLITS = ("train", "select", "test")


def file(rng: Random) -> Any:
    return pick(rng, PLAIN, NAMES, 0.05)


def label(rng: Random) -> Any:
    return pick(rng, ("cat", "dog", "sofa"), LABELS, 0.05)


def labels(rng: Random) -> list[Any]:
    return [label(rng) for _ in range(rng.randrange(4))]


def times(rng: Random) -> int:
    return rng.choice((0, 0, 0, 1, 1, 4))


def listed(rng: Random, kind: str, suffix: str, make: Callable[[], bytes], images: str = "") -> Export:
    """Create one list of labels, or one for each split."""
    names = ("train",) if rng.random() < 0.6 else SPLITS[:: rng.choice((1, 2))]
    files = {f"{name}{suffix}": make() for name in names}
    return files, {"format": kind, "annotations": {n: f"{n}{suffix}" for n in names}, "images": {"train": images}}
