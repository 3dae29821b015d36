"""Synthetic data set: scikit-learn's handwritten digits, placed in small colour scenes.

A scene has one to five digits on a softly textured ground. A fixed table of affinities decides which digits share a
scene, so that a model gains from label dependence. The drawings are split before scenes are composed: none appears in
two splits. The result is a COCO data set: ``images/SPLIT/NNNNNN.jpg`` and ``annotations/instances_SPLIT.json``.
"""

import io
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sadcl import files, layout, processes
from sadcl.progress import duration, track

SIZES = {"train": 3000, "select": 600, "test": 1000}
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SIDE = 96

DIGITS = (0.13, 0.26, 0.29, 0.20, 0.12)
"""Probability that a scene has one, two, three, four, five digits."""
FREQUENCY = (1.5, 1.6, 1.3, 1.2, 1.1, 0.9, 0.8, 0.7, 0.5, 0.095)
"""Weight of each class for a scene's first digit; `nine` is rare."""
TOGETHER = {(1, 2): 5.0, (3, 8): 6.0, (4, 7): 5.0, (5, 6): 5.0, (0, 9): 3.0}
"""Pairs of classes that occur together, and the factor of their weights."""
APART = ((1, 7), (3, 5), (4, 9), (0, 6), (2, 8))
"""Pairs of classes that exclude each other; most look alike."""
REPEAT = 0.25
"""Factor of a class's weight after its first digit in a scene."""

SHARES = {"train": 0.60, "select": 0.15, "test": 0.25}
"""Fraction of each class's drawings, by split."""
SIZE = (20, 40)
"""Pixels of a digit's longer side, before rotation."""
TURN = 20.0
"""Largest rotation in degrees, either way."""
OVERLAP = 0.4
"""Largest fraction of a digit's box, or of its ink, that other digits cover."""
CONTRAST = 0.3
"""Least difference of a digit's luminance from the ground behind it, in the range 0 to 1."""
APART_FROM_NEIGHBOURS = 0.5
"""Distance of touching digits' colours in the unit cube, where the colours allow it."""

LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_FIRST_ID = {"train": 100_000, "select": 200_000, "test": 300_000}


@dataclass(frozen=True)
class _Digit:
    """A placed digit: class, corner (left, top) in pixels, ink as alpha, float32 [h, w]."""

    label: int
    left: int
    top: int
    alpha: np.ndarray

    @property
    def box(self) -> tuple[slice, slice]:
        """Rows and columns of the scene that the digit covers."""
        height, width = self.alpha.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


def generate(directory: Path, seed: int, sizes: Mapping[str, int] = SIZES) -> None:
    """Generate the data set; it replaces ``directory`` once it is complete.

    Args:
        directory: of the data set.
        seed: equal seeds give equal bytes, and a smaller set is the start of a larger one.
        sizes: number of scenes, by split.
    """
    drawings = _drawings(seed)
    with files.atomic_directory(directory) as staging, _mapping(sum(sizes.values())) as map_scenes:
        for split, count in sizes.items():
            folder = staging / "images" / split
            folder.mkdir(parents=True)
            compose = partial(_scene, drawings[split], seed, split, folder)
            scenes = list(track(map_scenes(compose, range(count)), f"{split} scenes", total=count, unit="scenes"))
            files.write_json(staging / "annotations" / f"instances_{split}.json", _instances(scenes, split, seed))


@contextmanager
def _mapping(scenes: int) -> Iterator[Callable[[Callable[[int], Any], range], Iterable[Any]]]:
    """``map`` over one process per core; in this process where starting others takes longer than the work."""
    if scenes < 500:
        yield map
        return
    with ProcessPoolExecutor(mp_context=get_context("spawn"), initializer=processes.end_with_parents) as pool:
        yield partial(pool.map, chunksize=50)


@cache
def affinity() -> np.ndarray:
    """Factor of class j's weight in a scene with class i, float [C, C], symmetric."""
    table = np.ones((len(NAMES), len(NAMES)))
    np.fill_diagonal(table, REPEAT)
    for (i, j), factor in [*TOGETHER.items(), *((pair, 0.0) for pair in APART)]:
        table[i, j] = table[j, i] = factor
    return table


def split_drawings(labels: np.ndarray, seed: int) -> dict[str, list[np.ndarray]]:
    """Split the drawings of each class.

    Args:
        labels: int [N], class of each drawing.
        seed: of the permutation.

    Returns:
        By split, a list over classes of indexes into ``labels``.
    """
    indexes: dict[str, list[np.ndarray]] = {split: [] for split in SHARES}
    for label in range(len(NAMES)):
        order = np.random.default_rng([seed, label]).permutation(np.flatnonzero(labels == label))
        ends = np.round(np.cumsum(list(SHARES.values())) * len(order)).astype(int)
        for split, part in zip(SHARES, np.split(order, ends[:-1]), strict=True):
            indexes[split].append(part)
    return indexes


def _drawings(seed: int) -> dict[str, list[list[Image.Image]]]:
    """Drawings by split and class, float32 10 x 10 in 0 to 1, with an empty border of one pixel."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = [Image.fromarray(np.pad(drawing / 16, 1).astype(np.float32)) for drawing in digits.images]
    indexes = split_drawings(digits.target, seed)
    return {split: [[images[i] for i in part] for part in parts] for split, parts in indexes.items()}


def _scene(drawings: Sequence[Sequence[Image.Image]], seed: int, split: str, folder: Path, index: int) -> Any:
    """Compose one scene and write its photo; the random numbers depend on seed, split and index alone.

    Returns:
        COCO image, and its annotations without ids.
    """
    rng = np.random.default_rng([seed, _FIRST_ID[split], index])
    ground = _ground(rng)
    digits = _place(rng, [(label, drawings[label]) for label in _labels(rng)])
    canvas = _paint(rng, ground, digits)
    photo = io.BytesIO()
    Image.fromarray((canvas * 255).round().astype(np.uint8)).save(photo, "JPEG", quality=92, subsampling=0)
    number = _FIRST_ID[split] + index
    (folder / f"{number}.jpg").write_bytes(photo.getvalue())
    image = {"id": number, "file_name": f"{number}.jpg", "width": SIDE, "height": SIDE}
    return image, [_annotation(number, digit.label, ink) for digit, ink in zip(digits, _visible(digits), strict=True)]


def _labels(rng: np.random.Generator) -> list[int]:
    """Draw the classes of a scene, one digit after another."""
    weights, table, labels = np.array(FREQUENCY), affinity(), []
    for _ in range(1 + rng.choice(len(DIGITS), p=DIGITS)):
        labels.append(int(rng.choice(len(NAMES), p=weights / weights.sum())))
        weights = weights * table[labels[-1]]
    return labels


def _ground(rng: np.random.Generator) -> np.ndarray:
    """Ground of a scene, a colour with soft clouds and slight grain: float32 [S, S, 3] in 0 to 1."""
    ground = np.full((3, SIDE, SIDE), rng.uniform(0.12, 0.88, (3, 1, 1)), dtype=np.float32)
    for cells, strength in ((2, 0.09), (5, 0.06), (12, 0.025)):
        clouds = rng.normal(0, strength, (3, cells, cells)) + rng.normal(0, strength, (1, cells, cells))
        smooth = _smooth(cells)
        ground += smooth @ clouds.astype(np.float32) @ smooth.T
    ground += rng.standard_normal((SIDE, SIDE), dtype=np.float32) * 0.012
    return np.ascontiguousarray(ground.transpose(1, 2, 0)).clip(0, 1)


@cache
def _smooth(cells: int) -> np.ndarray:
    """Matrix of bicubic enlargement, float32 [S, cells]."""
    return np.asarray(Image.fromarray(np.eye(cells, dtype=np.float32)).resize((cells, SIDE), Image.Resampling.BICUBIC))


def _place(rng: np.random.Generator, choices: Sequence[tuple[int, Sequence[Image.Image]]]) -> list[_Digit]:
    """Place digits at random, given class and drawings of each.

    A digit shrinks with every failed attempt; after 40 of them for one digit, the scene is drawn again.
    """
    while True:
        placed: list[_Digit] = []
        for label, drawings in choices:
            drawing, size = drawings[int(rng.integers(len(drawings)))], rng.uniform(*SIZE)
            turn = rng.uniform(-TURN, TURN)
            for attempt in range(40):
                alpha = _ink(drawing, max(SIZE[0], size * 0.97**attempt), turn)
                height, width = alpha.shape
                left, top = (int(rng.integers(1, SIDE - length)) for length in (width, height))
                digit = _Digit(label, left, top, alpha)
                if _fits(digit, placed):
                    placed.append(digit)
                    break
        if len(placed) == len(choices):
            return placed


def _ink(drawing: Image.Image, size: float, turn: float) -> np.ndarray:
    """Render a drawing as smooth strokes, rotated and cropped to its ink: alpha, float32 [h, w] in 0 to 1."""
    scale = _extent(drawing.tobytes()) / size
    side = int(np.ceil(12 / scale))
    cos, sin = np.cos(np.radians(turn)) * scale, np.sin(np.radians(turn)) * scale
    centre, half = side / 2, drawing.width / 2
    matrix = (cos, sin, half - centre * (cos + sin), -sin, cos, half - centre * (cos - sin))
    smooth = drawing.transform((side, side), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)
    ramp = ((np.asarray(smooth) - 0.28) / 0.34).clip(0, 1)
    alpha: np.ndarray = ramp * ramp * (3 - 2 * ramp)
    rows, columns = np.flatnonzero((alpha > 0.1).any(1)), np.flatnonzero((alpha > 0.1).any(0))
    return alpha[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


@cache
def _extent(drawing: bytes) -> int:
    """Longer side of a drawing's ink, in its own pixels."""
    ink = np.frombuffer(drawing, dtype=np.float32).reshape(10, 10) > 0.3
    return int(max(np.ptp(np.flatnonzero(ink.any(axis))) + 1 for axis in (0, 1)))


def _fits(digit: _Digit, placed: Sequence[_Digit]) -> bool:
    """Whether a digit overlaps no placed box too much, and enough ink of every digit stays visible."""
    shared = [_shared(digit, p) / min(digit.alpha.size, p.alpha.size) for p in placed]
    if not any(shared):
        return True
    together = [*placed, digit]
    inks = zip(together, _visible(together), strict=True)
    return max(shared) <= OVERLAP and all(ink.sum() >= (1 - OVERLAP) * (d.alpha > 0.5).sum() for d, ink in inks)


def _shared(a: _Digit, b: _Digit, margin: int = 0) -> int:
    """Area in pixels of the intersection of two boxes, ``b`` widened by ``margin`` on each side."""
    (a_height, a_width), (b_height, b_width) = a.alpha.shape, b.alpha.shape
    down = min(a.top + a_height, b.top + b_height + margin) - max(a.top, b.top - margin)
    across = min(a.left + a_width, b.left + b_width + margin) - max(a.left, b.left - margin)
    return int(max(down, 0) * max(across, 0))


def _visible(digits: Sequence[_Digit]) -> list[np.ndarray]:
    """Visible ink of each digit under the digits after it: bool [S, S] each."""
    covered, visible = np.zeros((SIDE, SIDE), dtype=bool), []
    for digit in reversed(digits):
        ink = np.zeros((SIDE, SIDE), dtype=bool)
        ink[digit.box] = digit.alpha > 0.5
        visible.append(ink & ~covered)
        covered |= ink
    return visible[::-1]


def _paint(rng: np.random.Generator, ground: np.ndarray, digits: Sequence[_Digit]) -> np.ndarray:
    """Paint digits over the ground, each in a colour with contrast to the ground and to touching digits."""
    canvas, colours = ground.copy(), np.zeros((0, 3), dtype=np.float32)
    for i, digit in enumerate(digits):
        near = [j for j in range(i) if _shared(digit, digits[j], margin=3) > 0]
        colour = _colour(rng, ground[digit.box] @ LUMINANCE, colours[near])
        alpha = digit.alpha[..., None]
        canvas[digit.box] = canvas[digit.box] * (1 - alpha) + colour * alpha
        colours = np.vstack([colours, colour])
    return canvas


def _colour(rng: np.random.Generator, ground: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Choose from random colours one that contrasts with luminances [h, w] and colours [N, 3], else the best."""
    colours = np.vstack([rng.random((128, 3), dtype=np.float32), np.eye(2, 1) * np.ones(3)]).astype(np.float32)
    luminance, mean, spread = colours @ LUMINANCE, ground.mean(), ground.std()
    contrast = np.abs(luminance - mean) - spread
    distance = np.linalg.norm(colours[:, None] - near, axis=2).min(axis=1, initial=2.0)
    good = contrast >= CONTRAST
    best = int(np.argmax(np.where(good, np.minimum(distance, APART_FROM_NEIGHBOURS), contrast - 1)))
    return np.asarray(colours[best])


def _annotation(image: int, label: int, ink: np.ndarray) -> dict[str, Any]:
    from pycocotools import mask

    code = mask.encode(np.asfortranarray(ink.astype(np.uint8)))
    return {
        "image_id": image,
        "category_id": label + 1,
        "bbox": [float(value) for value in mask.toBbox(code)],
        "area": float(mask.area(code)),
        "segmentation": {"size": [SIDE, SIDE], "counts": code["counts"].decode()},
        "iscrowd": 0,
    }


def _instances(scenes: Sequence[Any], split: str, seed: int) -> dict[str, Any]:
    first = _FIRST_ID[split] * 10
    annotations = [annotation for _, items in scenes for annotation in items]
    return {
        "info": {"description": f"Scenes of handwritten digits, {split}", "version": "1", "seed": seed},
        "licenses": [{"id": 1, "name": "Digits: UCI Optical Recognition of Handwritten Digits, CC BY 4.0"}],
        "images": [image for image, _ in scenes],
        "annotations": [{"id": first + i, **annotation} for i, annotation in enumerate(annotations)],
        "categories": [{"id": i + 1, "name": name, "supercategory": "digit"} for i, name in enumerate(NAMES)],
    }


def generate_scenes(seed: int) -> str:
    """Generate ``data/raw/scenes`` and track it with DVC.

    Returns:
        A sentence for the user.

    Raises:
        SadclError: this is no project, or DVC fails.
    """
    from sadcl import pipeline

    pipeline.require_project()
    started = time.monotonic()
    generate(layout.SCENES, seed)
    pipeline.add(layout.SCENES)
    return f"Generated {layout.SCENES} in {duration(time.monotonic() - started)}; it is tracked by DVC"
