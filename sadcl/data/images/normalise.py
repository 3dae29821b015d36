"""Normalisation of pixels to network input."""

from collections.abc import Sequence
from math import gcd

import numpy as np
import torch
from torch import Tensor

LINES = 8
"""Lines of pixels that are normalised in one vector operation."""


def normalise(images: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Normalise pixels to network input: (x / 255 - mean) / std.

    Args:
        images: uint8 [B, S, S, 3].
        mean: per channel (red, green, blue), in the range 0 to 1.
        std: per channel, in the range 0 to 1.

    Returns:
        float32 [B, 3, S, S], channels last in memory.
    """
    normalised = np.empty(images.shape, np.float32)
    for pixels, out in zip(images, normalised, strict=True):
        normalise_into(out, pixels, *line_factors(mean, std, images.shape[2]))
    return torch.from_numpy(normalised).permute(0, 3, 1, 2)


def line_factors(mean: Sequence[float], std: Sequence[float], side: int) -> tuple[np.ndarray, np.ndarray]:
    """Factor and summand of each value in a few lines of pixels, both float32 [lines * S * 3].

    Args:
        mean: per channel, in the range 0 to 1.
        std: per channel, in the range 0 to 1.
        side: S, pixels per line.
    """
    factor = np.array([1 / (255 * s) for s in std], np.float32)
    summand = np.array([-m / s for m, s in zip(mean, std, strict=True)], np.float32)
    pixels = side * gcd(side, LINES)
    return np.tile(factor, pixels), np.tile(summand, pixels)


def normalise_into(out: np.ndarray, pixels: np.ndarray, factor: np.ndarray, summand: np.ndarray) -> None:
    """Normalise one photo into its slot of a batch.

    Args:
        out: float32 [S, S, 3], is overwritten.
        pixels: uint8 [S, S, 3].
        factor, summand: of ``line_factors``.
    """
    # long rows and operations in place are what numpy runs with vector instructions
    rows = out.reshape(-1, len(factor))
    np.copyto(rows, pixels.reshape(rows.shape))
    rows *= factor
    rows += summand
