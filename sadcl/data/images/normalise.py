"""Normalisation of pixels to network input."""

from collections.abc import Sequence
from math import gcd

import numpy as np
import torch
from torch import Tensor

LINES = 8
"""Lines of pixels that are normalised as one."""


def normalise(images: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Pixels as a network takes them: (x / 255 - mean) / std.

    Args:
        images: uint8 [B, S, S, 3].
        mean: of red, green, blue, in the range 0 to 1.
        std: likewise.

    Returns:
        float32 [B, 3, S, S], channels last in memory.
    """
    ready = np.empty(images.shape, np.float32)
    for pixels, place in zip(images, ready, strict=True):
        _normalise(pixels, *_lines(mean, std, images.shape[2]), place)
    return torch.from_numpy(ready).permute(0, 3, 1, 2)


def _lines(mean: Sequence[float], std: Sequence[float], side: int) -> tuple[np.ndarray, np.ndarray]:
    """Factor and summand of each value in a few lines of pixels, both float32 [lines * S * 3]."""
    factor = np.array([1 / (255 * s) for s in std], np.float32)
    summand = np.array([-m / s for m, s in zip(mean, std, strict=True)], np.float32)
    pixels = side * gcd(side, LINES)
    return np.tile(factor, pixels), np.tile(summand, pixels)


def _normalise(pixels: np.ndarray, factor: np.ndarray, summand: np.ndarray, place: np.ndarray) -> None:
    """One photo into its place in the batch; in long rows and in place, which numpy does with vector instructions."""
    rows = place.reshape(-1, len(factor))
    np.copyto(rows, pixels.reshape(rows.shape))
    rows *= factor
    rows += summand
