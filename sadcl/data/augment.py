"""What training does to a photo (method, section 4.2): PIL in, uint8 [S, S, 3] out, one generator for all chance."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from sadcl import params
from sadcl.data.photos import squash

Transform = Callable[[Image.Image, np.random.Generator], np.ndarray]

SCALES = (1.0, 0.875, 0.75, 0.66, 0.5)
"""Sides of a crop, as shares of the enlarged photo."""
SIDE_PAIRS = tuple((i, j) for i in range(5) for j in range(5) if abs(i - j) <= 2)
"""Width and height differ by at most two scales: 19 pairs."""
SNAP = 3
"""Pixels within which a crop's side becomes S itself."""


def transform(settings: params.Augmentation, side: int) -> Transform:
    """The transform of a kind, for photos of side S.

    ``none``, ``shift`` and ``cutout_randaugment`` begin with the squash to S x S, so they may be handed a photo
    that is squashed already.
    """
    kinds: dict[str, Transform] = {
        "none": lambda image, rng: squash(image, side),
        "shift": lambda image, rng: shift(squash(image, side), settings.shift, settings.flip, rng),
        "cutout_randaugment": lambda image, rng: cutout_randaugment(image, side, settings.cutout, rng),
        "multiscale_crop": lambda image, rng: multiscale_crop(image, side, settings.enlarge, settings.flip, rng),
    }
    return kinds[settings.kind]


def shift(pixels: np.ndarray, share: float, flip: bool, rng: np.random.Generator) -> np.ndarray:
    """Move by up to ``share`` of the side each way, edges mirrored; mirror every second photo if asked.

    Args:
        pixels: uint8 [S, S, 3].
        share: 0 to 0.5.
        flip: left for right, with probability a half.
        rng: all chance.
    """
    side = len(pixels)
    most = round(share * side)
    down, right = rng.integers(-most, most + 1, size=2)
    rows, columns = (_mirrored(np.arange(side) + move, side) for move in (down, right))
    if flip and rng.random() < 0.5:
        columns = columns[::-1]
    return np.ascontiguousarray(pixels[rows[:, None], columns[None, :]])


def cutout_randaugment(image: Image.Image, side: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """The paper's stage 1 (A): one square cut out, then two operations of RandAugment, each applied half the time."""
    pixels = squash(image, side)
    _cut(pixels, round(share * side), rng)
    changed = Image.fromarray(pixels)
    for _ in range(2):
        operation, level = OPERATIONS[rng.integers(len(OPERATIONS))], int(rng.integers(1, 10))
        if rng.random() < 0.5:
            changed = operation(changed, level, rng)
    return np.array(changed, np.uint8)


def multiscale_crop(image: Image.Image, side: int, enlarge: float, flip: bool, rng: np.random.Generator) -> np.ndarray:
    """The paper's stage 2 (B): one of 19 shapes at one of 13 places of the enlarged photo, mirrored half the time."""
    large = round(side * enlarge)
    sides = [side if abs(int(large * s) - side) <= SNAP else int(large * s) for s in SCALES]
    i, j = SIDE_PAIRS[rng.integers(len(SIDE_PAIRS))]
    width, height = sides[i], sides[j]
    places = anchors(large, width, height)
    left, top = places[rng.integers(len(places))]
    scale = (image.width / large, image.height / large)
    # one resampling straight from the photo, instead of enlarging first and cropping then
    box = (left * scale[0], top * scale[1], (left + width) * scale[0], (top + height) * scale[1])
    cropped = image.resize((side, side), Image.Resampling.BILINEAR, box=box)
    pixels = np.array(cropped, np.uint8)
    return np.ascontiguousarray(pixels[:, ::-1]) if flip and rng.random() < 0.5 else pixels


def anchors(large: int, width: int, height: int) -> list[tuple[int, int]]:
    """The 13 places (left, top) of a crop: corners, middles of edges, centre, and quarter points."""
    x, y = (large - width) // 4, (large - height) // 4
    grid = [(0, 0), (4, 0), (0, 4), (4, 4), (2, 2), (0, 2), (4, 2), (2, 4), (2, 0), (1, 1), (3, 1), (1, 3), (3, 3)]
    return [(i * x, j * y) for i, j in grid]


def _mirrored(index: np.ndarray, side: int) -> np.ndarray:
    index = np.abs(index)
    return np.where(index >= side, 2 * (side - 1) - index, index)


def _cut(pixels: np.ndarray, size: int, rng: np.random.Generator) -> None:
    """Fill a square of random place, clipped at the border, with one random colour; in place."""
    y, x = rng.integers(0, len(pixels), size=2)
    top, left = max(y - size // 2, 0), max(x - size // 2, 0)
    pixels[top : y + size - size // 2, left : x + size - size // 2] = rng.integers(0, 256, size=3, dtype=np.uint8)


Operation = Callable[[Image.Image, int, np.random.Generator], Image.Image]


def _level(low: float, high: float, level: int) -> float:
    """Ten linear levels from ``low`` to ``high``; level 0 is never drawn."""
    return low + (high - low) * level / 9


def _enhance(kind: type) -> Operation:
    def apply(image: Image.Image, level: int, rng: np.random.Generator) -> Image.Image:
        factor = 1 + _level(0, 0.9, level) * (1 if rng.random() < 0.5 else -1)
        return kind(image).enhance(factor)  # type: ignore[no-any-return]

    return apply


def _affine(parameters: Callable[[float, int], tuple[float, ...]], high: float) -> Operation:
    def apply(image: Image.Image, level: int, rng: np.random.Generator) -> Image.Image:
        amount = _level(0, high, level) * (1 if rng.random() < 0.5 else -1)
        return image.transform(
            image.size, Image.Transform.AFFINE, parameters(amount, image.width), fillcolor=(128,) * 3
        )

    return apply


def _small_cutout(image: Image.Image, level: int, rng: np.random.Generator) -> Image.Image:
    pixels = np.array(image)
    _cut(pixels, round(_level(0, 20, level)), rng)
    return Image.fromarray(pixels)


OPERATIONS: tuple[Operation, ...] = (
    lambda image, level, rng: ImageOps.invert(image),
    _small_cutout,
    _enhance(ImageEnhance.Sharpness),
    lambda image, level, rng: ImageOps.autocontrast(image),
    lambda image, level, rng: ImageOps.posterize(image, round(_level(8, 4, level))),
    _affine(lambda a, S: (1, a, 0, 0, 1, 0), 0.3),
    _affine(lambda a, S: (1, 0, 0, a, 1, 0), 0.3),
    _affine(lambda a, S: (1, 0, a * S, 0, 1, 0), 0.453),
    _affine(lambda a, S: (1, 0, 0, 0, 1, a * S), 0.453),
    lambda image, level, rng: image.rotate(_level(0, 30, level), fillcolor=(128,) * 3),
    lambda image, level, rng: ImageOps.equalize(image),
    _enhance(ImageEnhance.Contrast),
    _enhance(ImageEnhance.Color),
    _enhance(ImageEnhance.Brightness),
    lambda image, level, rng: ImageOps.solarize(image, round(_level(256, 0, level))),
)
"""RandAugment's 15: invert, cutout, sharpness, auto-contrast, posterize, shear x and y, translate x and y,
rotate, equalise, contrast, colour, brightness, solarise."""
