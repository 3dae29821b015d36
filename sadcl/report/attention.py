"""Where a label looked, laid over its photo."""

import re
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image

from sadcl import files
from sadcl.data import photos
from sadcl.errors import SadclError
from sadcl.model.tagger import Tagger

SIDE = 480
"""Pixels of the long side of a written map; smaller photos stay as they are."""


def overlay(photo: Image.Image, attention: np.ndarray) -> Image.Image:
    """Lay an attention map [h, w] over a photo: dark where the label did not look, its colours where it did.

    The map is stretched between its own ends, enlarged smoothly, and shown in a palette that stays readable for
    colour-blind people and in grey.
    """
    low, high = float(attention.min()), float(attention.max())
    strength = (attention - low) / max(high - low, 1e-12)
    smooth = Image.fromarray((strength * 255).astype(np.uint8)).resize(photo.size, Image.Resampling.BICUBIC)
    share = np.asarray(smooth, np.float32)[..., None] / 255
    heat = matplotlib.colormaps["inferno"](share[..., 0])[..., :3] * 255
    mixed = np.asarray(photo, np.float32) * (0.35 + 0.35 * share) + heat * (0.15 + 0.3 * share)
    return Image.fromarray(mixed.clip(0, 255).astype(np.uint8))


def write_maps(tagger: Tagger, photo: Path, labels: Sequence[str], folder: Path) -> list[Path]:
    """Write one JPEG a label, named after photo and label.

    Raises:
        SadclError: the photo can't be read, or the model has no attention.
    """
    try:
        image = photos.decode(Path(photo).read_bytes(), where=photo)
    except OSError as error:
        raise SadclError(f"The photo can't be read: {error.strerror}", where=photo, fix="Check the path") from None
    maps = tagger.attention(image)
    image.thumbnail((SIDE, SIDE))
    written = []
    for label in labels:
        name = re.sub(r"[^\w.-]+", "_", f"{Path(photo).stem}-{label}")
        with files.writing(folder / f"{name}.jpg") as beside:
            overlay(image, maps[tagger.classes.index(label)]).save(beside, "JPEG", quality=90)
        written.append(folder / f"{name}.jpg")
    return written
