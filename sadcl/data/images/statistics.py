"""How a photo looks, in three numbers: for near-duplicates, drift and outliers."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

HASH_SIDE = 32
"""Grey pixels a side that the perceptual hash is made from."""
SIDE = 256
"""Pixels of the shorter side at which sharpness is measured; larger photos are reduced to it."""


@dataclass(frozen=True)
class ImageStatistics:
    """How a photo looks.

    Attributes:
        brightness: mean grey, 0 to 255.
        sharpness: standard deviation of the Laplacian of the grey photo at the shorter side of 256 px; 0 is flat.
        phash: perceptual hash, 64 bits: the signs of the lowest 8 x 8 cosine terms against their median (pHash).
    """

    brightness: float = 0.0
    sharpness: float = 0.0
    phash: int = 0


def looks(image: Image.Image) -> ImageStatistics:
    """Look at an upright RGB photo; one that was decoded at a reduced size gives nearly the same."""
    grey = image.convert("L")
    shorter = min(grey.size)
    if shorter > SIDE:
        grey = grey.resize([max(1, round(side * SIDE / shorter)) for side in grey.size], Image.Resampling.BOX)
    values = np.asarray(grey, np.float32)
    return ImageStatistics(round(float(values.mean()), 3), round(_sharpness(values), 3), _phash(grey))


def _sharpness(grey: np.ndarray) -> float:
    if min(grey.shape) < 3:
        return 0.0
    inner = grey[1:-1, 1:-1]
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float(np.std(around - 4 * inner))


def _phash(grey: Image.Image) -> int:
    small = np.asarray(grey.resize((HASH_SIDE, HASH_SIDE), Image.Resampling.BOX), np.float64)
    terms = (_cosines() @ small @ _cosines().T).round(6).ravel()  # rounded: a flat photo has no signs of its own
    bits = terms > np.median(terms[1:])  # the first is the mean, which says nothing about shapes
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


@cache
def _cosines() -> np.ndarray:
    """The eight slowest waves of the cosine transform (type 2), [8, 32]."""
    places = (np.arange(HASH_SIDE) + 0.5) * np.pi / HASH_SIDE
    return np.cos(np.arange(8)[:, None] * places)
