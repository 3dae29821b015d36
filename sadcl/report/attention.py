"""Where a label looked, laid over its photo."""

import re
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import numpy.typing as npt
from PIL import Image

from sadcl import files
from sadcl.data import photos
from sadcl.errors import SadclError
from sadcl.model.tagger import Tagger

SIDE = 480
"""Pixels of the long side of a written map; smaller photos stay as they are."""


def overlay(photo: Image.Image, attention: npt.NDArray[np.floating]) -> Image.Image:
    """Lay an attention map over a photo in grey: dark where the label did not look, bright where it did.

    Full brightness is the map's highest value and black is none at all, so an even map is bright everywhere
    rather than stretched into a pattern. The palette (inferno) rises evenly in lightness: it stays readable for
    colour-blind people and in grey.

    Args:
        photo: any size; the picture has the same.
        attention: [h, w], not negative.
    """
    share = attention / max(float(attention.max()), 1e-12)
    small = Image.fromarray(share.clip(0, 1).astype(np.float32))
    smooth = np.asarray(small.resize(photo.size, Image.Resampling.BICUBIC)).clip(0, 1)[..., None]
    heat = matplotlib.colormaps["inferno"](smooth[..., 0])[..., :3] * 255
    grey = np.asarray(photo.convert("L"), np.float32)[..., None]
    mixed = grey * (0.75 - 0.35 * smooth) + heat * (0.2 + 0.4 * smooth)
    return Image.fromarray(mixed.clip(0, 255).astype(np.uint8))


def write_maps(tagger: Tagger, photo: Path, labels: Sequence[str], folder: Path) -> list[Path]:
    """Write one JPEG a label, named after photo and label.

    Args:
        tagger: a model whose head has attention.
        photo: an image file.
        labels: names of classes.
        folder: made where it is missing; maps of the same name are replaced.

    Returns:
        The files, in the order of the labels.

    Raises:
        SadclError: the photo can't be read, the model does not know a label, or it has no attention.
    """
    unknown = [label for label in labels if label not in tagger.classes]
    if unknown:
        known = ", ".join(tagger.classes[:8])
        raise SadclError(f"The model knows no label `{unknown[0]}`", fix=f"Ask for one of its classes: {known}, ...")
    if not labels:
        return []
    maps = tagger.attention(photo)
    image = photos.decode(Path(photo).read_bytes(), at_least=SIDE, where=photo)
    image.thumbnail((SIDE, SIDE))
    written = [folder / f"{name}.jpg" for name in _names(Path(photo).stem, labels)]
    for path, label in zip(written, labels, strict=True):
        with files.writing(path) as beside:
            overlay(image, maps[tagger.classes.index(label)]).save(beside, "JPEG", quality=90)
    return written


def _names(stem: str, labels: Sequence[str]) -> list[str]:
    """File names without anything that a file system minds; labels that would share one are numbered."""
    names: list[str] = []
    for label in labels:
        name = plain = re.sub(r"[^\w.-]+", "_", f"{stem}-{label}")
        while name.lower() in map(str.lower, names):
            name = f"{plain}-{1 + sum(other.startswith(plain) for other in names)}"
        names.append(name)
    return names
