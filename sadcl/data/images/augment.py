"""Augmentation of training photos (method, section 4.2): uint8 [h, w, 3] to uint8 [S, S, 3].

All randomness comes from the generator of the call, so that a photo's augmentation can be repeated.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from sadcl import params
from sadcl.data.images.resize import mirrored, squash

Transform = Callable[[np.ndarray, np.random.Generator], np.ndarray]
Operation = Callable[[Image.Image, int, np.random.Generator], Image.Image]

SCALES = (1.0, 0.875, 0.75, 0.66, 0.5)
"""Sides of a crop, as fractions of the enlarged photo's side."""
SCALE_PAIRS = tuple((i, j) for i in range(5) for j in range(5) if abs(i - j) <= 2)
"""Scales of width and height: at most two steps apart, so that no crop is too narrow."""
SNAP = 3
"""Pixels: a crop's side that differs from S by no more becomes S, which saves a resampling."""
ANCHORS = ((0, 0), (4, 0), (0, 4), (4, 4), (2, 2), (0, 2), (4, 2), (2, 4), (2, 0), (1, 1), (3, 1), (1, 3), (3, 3))
"""Positions of a crop (x, y), in quarters of its range: corners, centre, edge middles, quarter points."""

GREY = (128, 128, 128)
"""Fill for areas outside the photo."""
MEAN_COLOUR = (125, 122, 113)
"""Fill of RandAugment's cutout: about the mean of ImageNet."""


def transform(settings: params.Augmentation, side: int) -> Transform:
    """Augmentation for photos of any size, by its settings.

    Args:
        settings: kind and strengths.
        side: S, in pixels.

    Returns:
        Function of a photo, uint8 [h, w, 3], and a generator to uint8 [S, S, 3].
    """
    after = after_squash(settings)
    if after is None:
        return lambda pixels, rng: multiscale_crop(pixels, side, settings.enlarge, settings.flip, rng)
    return lambda pixels, rng: after(squash(pixels, side), rng)


def after_squash(settings: params.Augmentation) -> Transform | None:
    """Augmentation for photos squashed to S x S; None for kinds that need the photo's own size.

    The function never writes to its input, so that a cache may pass the same array again.
    """
    kinds: dict[str, Transform] = {
        "none": lambda pixels, rng: pixels,
        "shift": lambda pixels, rng: shift(pixels, settings.shift, settings.flip, rng),
        "cutout_randaugment": lambda pixels, rng: randaugment(cutout(pixels, settings.cutout, rng), rng),
    }
    return kinds.get(settings.kind)


def detail(settings: params.Augmentation, side: int) -> int:
    """Least side of the decoded photo, in pixels, at which the augmentation loses no detail."""
    return round(side * settings.enlarge) if settings.kind == "multiscale_crop" else side


def shift(pixels: np.ndarray, share: float, flip: bool, rng: np.random.Generator) -> np.ndarray:
    """Translate a photo by up to a fraction of its side each way, padding by reflection.

    Args:
        pixels: uint8 [S, S, 3].
        share: most translation, as a fraction of S, 0 to 0.5.
        flip: mirror left and right with probability 0.5.
        rng: source of all randomness.

    Returns:
        uint8 [S, S, 3].
    """
    side = len(pixels)
    most = round(share * side)
    down, right = rng.integers(-most, most + 1, size=2)
    rows, columns = (_reflected(np.arange(side) + move, side) for move in (down, right))
    if flip and rng.random() < 0.5:
        columns = columns[::-1]
    return pixels.take(rows, axis=0).take(columns, axis=1)


def cutout(pixels: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Cover a square with one random colour; its centre lies anywhere, so the border may clip it.

    Args:
        pixels: uint8 [S, S, 3].
        share: side of the square, as a fraction of S.
        rng: source of all randomness.

    Returns:
        uint8 [S, S, 3].
    """
    colour = rng.integers(0, 256, size=3, dtype=np.uint8)
    return _with_square(pixels, round(share * len(pixels)), colour, rng)


def randaugment(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw two of fifteen operations, each with a magnitude from 1 to 9, and apply each with probability 0.5.

    Args:
        pixels: uint8 [S, S, 3].
        rng: source of all randomness.

    Returns:
        uint8 [S, S, 3].
    """
    operations = list(OPERATIONS.values())
    image = Image.fromarray(pixels)
    for _ in range(2):
        operation, strength = operations[rng.integers(len(operations))], int(rng.integers(1, 10))
        if rng.random() < 0.5:
            image = operation(image, strength, rng)
    return np.array(image)


def multiscale_crop(pixels: np.ndarray, side: int, enlarge: float, flip: bool, rng: np.random.Generator) -> np.ndarray:
    """Squash to a larger square, crop one of 19 shapes at one of 13 positions, resize to S x S.

    The crop comes from the photo itself, at the pixels that the larger square would show, so that one resampling is
    enough and the result a little sharper.

    Args:
        pixels: uint8 [h, w, 3].
        side: S.
        enlarge: side of the larger square, as a multiple of S.
        flip: mirror left and right with probability 0.5.
        rng: source of all randomness.

    Returns:
        uint8 [S, S, 3].
    """
    large = round(side * enlarge)
    sides = crop_sides(large, side)
    across, down = SCALE_PAIRS[rng.integers(len(SCALE_PAIRS))]
    x, y = ANCHORS[rng.integers(len(ANCHORS))]
    rows = _source_range(y * ((large - sides[down]) // 4), sides[down], large, pixels.shape[0])
    columns = _source_range(x * ((large - sides[across]) // 4), sides[across], large, pixels.shape[1])
    crop = squash(pixels[rows, columns], side)
    return mirrored(crop) if flip and rng.random() < 0.5 else crop


def _source_range(start: int, length: int, large: int, size: int) -> slice:
    """Range of the larger square's side in pixels of the photo's own side, ``size`` pixels long; never empty."""
    first = min(round(start * size / large), size - 1)
    return slice(first, max(round((start + length) * size / large), first + 1))


def crop_sides(large: int, side: int) -> list[int]:
    """Sides of a crop from a square of side ``large``, in pixels, one per scale of ``SCALES``."""
    sides = [int(large * scale) for scale in SCALES]
    return [side if abs(length - side) <= SNAP else length for length in sides]


def level(low: float, high: float, magnitude: int) -> float:
    """Strength of a magnitude 1 to 9, on a line from ``low`` at 0, which is never drawn, to ``high`` at 9."""
    return low + (high - low) * magnitude / 9


def _reflected(index: np.ndarray, side: int) -> np.ndarray:
    """Reflect positions outside 0..S-1 at the borders, without repeating the edge."""
    index = np.abs(index)
    return np.where(index >= side, 2 * (side - 1) - index, index)


def _with_square(pixels: np.ndarray, size: int, colour: object, rng: np.random.Generator) -> np.ndarray:
    y, x = rng.integers(0, len(pixels), size=2)
    top, left = y - size // 2, x - size // 2
    covered = pixels.copy()
    covered[max(top, 0) : max(top + size, 0), max(left, 0) : max(left + size, 0)] = colour
    return covered


def _random_sign(amount: float, rng: np.random.Generator) -> float:
    return amount if rng.random() < 0.5 else -amount


def _small_cutout(image: Image.Image, magnitude: int, rng: np.random.Generator) -> Image.Image:
    return Image.fromarray(_with_square(np.asarray(image), round(level(0, 20, magnitude)), MEAN_COLOUR, rng))


def _enhanced(kind: Callable[[Image.Image], ImageEnhance._Enhance]) -> Operation:
    return lambda image, magnitude, rng: kind(image).enhance(1 + _random_sign(level(0, 0.9, magnitude), rng))


def _sheared(across: int, down: int) -> Operation:
    def apply(image: Image.Image, magnitude: int, rng: np.random.Generator) -> Image.Image:
        amount = _random_sign(level(0, 0.3, magnitude), rng)
        return _affine(image, (1, across * amount, 0, down * amount, 1, 0), Image.Resampling.BICUBIC)

    return apply


def _moved(across: int, down: int) -> Operation:
    def apply(image: Image.Image, magnitude: int, rng: np.random.Generator) -> Image.Image:
        amount = _random_sign(level(0, 0.453, magnitude), rng) * image.width
        return _affine(image, (1, 0, across * amount, 0, 1, down * amount), Image.Resampling.NEAREST)

    return apply


def _affine(image: Image.Image, matrix: tuple[float, ...], how: Image.Resampling) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, matrix, resample=how, fillcolor=GREY)


OPERATIONS: dict[str, Operation] = {
    "invert": lambda image, magnitude, rng: ImageOps.invert(image),
    "cutout": _small_cutout,
    "sharpness": _enhanced(ImageEnhance.Sharpness),
    "autocontrast": lambda image, magnitude, rng: ImageOps.autocontrast(image),
    "posterize": lambda image, magnitude, rng: ImageOps.posterize(image, round(level(8, 4, magnitude))),
    "shear_x": _sheared(1, 0),
    "shear_y": _sheared(0, 1),
    "translate_x": _moved(1, 0),
    "translate_y": _moved(0, 1),
    "rotate": lambda image, magnitude, rng: image.rotate(level(0, 30, magnitude), fillcolor=GREY),
    "equalize": lambda image, magnitude, rng: ImageOps.equalize(image),
    "contrast": _enhanced(ImageEnhance.Contrast),
    "colour": _enhanced(ImageEnhance.Color),
    "brightness": _enhanced(ImageEnhance.Brightness),
    "solarize": lambda image, magnitude, rng: ImageOps.solarize(image, round(level(256, 0, magnitude))),
}
"""Operations of RandAugment, by name; their order decides which one a generator draws."""
