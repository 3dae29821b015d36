"""A photo with an attention map laid over it."""

import matplotlib
import numpy as np
import numpy.typing as npt
from PIL import Image


def overlay(photo: Image.Image, attention: npt.NDArray[np.floating]) -> Image.Image:
    """Lay an attention map over a photo in grey: bright where attention is high.

    Full brightness is the map's maximum and black is zero, so an even map is bright everywhere and not stretched into
    a pattern of rounding errors. The palette (inferno) rises evenly in lightness: it is readable for colour-blind
    people and in grey.

    Args:
        photo: any size, which the result keeps.
        attention: [h, w], not negative.
    """
    share = attention / max(float(attention.max()), 1e-12)
    small = Image.fromarray(share.clip(0, 1).astype(np.float32))
    smooth = np.asarray(small.resize(photo.size, Image.Resampling.BICUBIC)).clip(0, 1)[..., None]
    heat = matplotlib.colormaps["inferno"](smooth[..., 0])[..., :3] * 255
    grey = np.asarray(photo.convert("L"), np.float32)[..., None]
    mixed = grey * (0.75 - 0.35 * smooth) + heat * (0.2 + 0.4 * smooth)
    return Image.fromarray(mixed.clip(0, 255).astype(np.uint8))
