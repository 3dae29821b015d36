"""Image statistics of a photo: brightness, sharpness, perceptual hash and thumbnail."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

HASH_SIDE = 32
"""Side in pixels of the thumbnail, which the perceptual hash is computed from too."""
SIDE = 256
"""Shorter side in pixels at which sharpness is measured; larger photos are reduced to it."""

Thumbnail = bytes
"""Grey photo squashed to 32 x 32 px, row by row, 1024 bytes."""


@dataclass(frozen=True)
class ImageStatistics:
    """Statistics of a photo's appearance.

    Attributes:
        brightness: mean grey, 0 to 255.
        sharpness: standard deviation of the Laplacian of the grey photo, its shorter side reduced to 256 px; 0 is flat.
        phash: perceptual hash, 64 bits: the signs of the lowest 8 x 8 cosine terms against their median (pHash).
        thumbnail: see ``Thumbnail``, for look-alikes.
    """

    brightness: float = 0.0
    sharpness: float = 0.0
    phash: int = 0
    thumbnail: Thumbnail = b""


def image_statistics(image: Image.Image) -> ImageStatistics:
    """Compute the statistics of an upright RGB photo; one decoded at reduced size gives nearly the same numbers."""
    grey = image.convert("L")
    shorter = min(grey.size)
    if shorter > SIDE:
        grey = grey.resize([max(1, round(side * SIDE / shorter)) for side in grey.size], Image.Resampling.BOX)
    values = np.asarray(grey, np.float32)
    small = np.asarray(grey.resize((HASH_SIDE, HASH_SIDE), Image.Resampling.BOX))
    return ImageStatistics(round(float(values.mean()), 3), round(_sharpness(values), 3), _phash(small), small.tobytes())


def _sharpness(grey: np.ndarray) -> float:
    if min(grey.shape) < 3:
        return 0.0
    inner = grey[1:-1, 1:-1]
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float(np.std(around - 4 * inner))


def _phash(small: np.ndarray) -> int:
    terms = (
        (_cosines() @ small.astype(np.float64) @ _cosines().T).round(6).ravel()
    )  # rounded: noise would decide a flat photo's signs
    bits = terms > np.median(terms[1:])  # the first term is the mean brightness, not shape
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


@cache
def _cosines() -> np.ndarray:
    """Matrix of the eight lowest frequencies of the cosine transform (type 2), float64 [8, 32]."""
    positions = (np.arange(HASH_SIDE) + 0.5) * np.pi / HASH_SIDE
    return np.cos(np.arange(8)[:, None] * positions)
