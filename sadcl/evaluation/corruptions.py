"""Image corruptions for robustness: JPEG, blur, noise, darkness and low resolution, each at one strength."""

import hashlib
import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

Pixels = np.ndarray
"""uint8 [S, S, 3]."""


def jpeg(pixels: Pixels) -> Pixels:
    """Compress as JPEG at quality 15."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=15)
    return np.asarray(Image.open(out))


def blur(pixels: Pixels) -> Pixels:
    """Blur with a Gaussian, whose standard deviation is 1 % of the side (4.5 pixels of 448)."""
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(len(pixels) / 100)))


def noise(pixels: Pixels) -> Pixels:
    """Add Gaussian noise with a standard deviation of 10 % of the range; equal photos get equal noise."""
    rng = np.random.default_rng(list(hashlib.sha256(pixels.tobytes()).digest()))
    return (pixels + rng.normal(0, 25.5, pixels.shape)).clip(0, 255).astype(np.uint8)


def dark(pixels: Pixels) -> Pixels:
    """Reduce brightness to a third."""
    return (pixels / 3).astype(np.uint8)


def downscale(pixels: Pixels) -> Pixels:
    """Shrink to a third of the side, and enlarge again."""
    side = len(pixels)
    small = Image.fromarray(pixels).resize((max(side // 3, 1),) * 2, Image.Resampling.BOX)
    return np.asarray(small.resize((side, side), Image.Resampling.BILINEAR))


CORRUPTIONS: dict[str, Callable[[Pixels], Pixels]] = {
    "jpeg": jpeg,
    "blur": blur,
    "noise": noise,
    "dark": dark,
    "downscale": downscale,
}
