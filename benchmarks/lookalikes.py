"""Look-alikes: which part of changed copies is found, how many other photos are, and how long a large set takes.

``python -m benchmarks.lookalikes FOLDER`` reads the photos of a folder. Copies are encoded again (JPEG, quality 85).
Strangers are the quarters of the photos, pairs of one photo left out: little is on them, so that they are harder to
tell apart than photos. The large set is of random cuts of the photos. Ingest reads and
decodes each photo once; that is left out.
"""

import argparse
import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from sadcl import files, processes
from sadcl.data.images import decode, jpeg
from sadcl.data.images.statistics import HASH_SIDE, SIDE, image_statistics
from sadcl.data.splits import look_alikes

RESULT = Path("benchmarks/results/lookalikes.json")
AT_LEAST = 0.95
"""Promised share of each kind of copy."""
AT_MOST = 1e-7
"""Promised share of pairs of strangers."""
COPIES, LOOKED_UP, TESTS, LARGE = 600, 6000, 5000, 100_000
Change = Callable[[Image.Image, np.random.Generator], Image.Image]


@dataclass(frozen=True)
class Row:
    """Share of one kind of copy that is found: copies in train of test photos, and copies in test of train photos."""

    copy: str
    in_train: float
    in_test: float


def turned(how: Image.Transpose) -> Change:
    """Turn or mirror."""
    return lambda image, rng: image.transpose(how)


def cropped(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Cut 10 % of each side, wherever it falls."""
    left, top = rng.uniform(0, 0.1, 2) * image.size
    return image.crop((round(left), round(top), round(left + 0.9 * image.width), round(top + 0.9 * image.height)))


def cropped_around(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Cut 10 % at each of the four borders."""
    del rng
    return ImageOps.crop(image, tuple(round(0.1 * side) for side in (*image.size, *image.size)))


def shifted(*axes: int) -> Change:
    """Move by 10 % along some axes, either way, over black."""

    def change(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        moved = Image.new("RGB", image.size)
        moves = [round(0.1 * side) * int(rng.choice([-1, 1])) * (axis in axes) for axis, side in enumerate(image.size)]
        moved.paste(image, (moves[0], moves[1]))
        return moved

    return change


def mirrored_and(change: Change) -> Change:
    """Mirror, then change."""
    return lambda image, rng: change(ImageOps.mirror(image), rng)


CHANGES: dict[str, Change] = {
    "two thirds of the size": lambda image, rng: image.resize((image.width * 2 // 3, image.height * 2 // 3)),
    "mirrored": turned(Image.Transpose.FLIP_LEFT_RIGHT),
    "mirrored top to bottom": turned(Image.Transpose.FLIP_TOP_BOTTOM),
    "rotated by 90°": turned(Image.Transpose.ROTATE_90),
    "rotated by 180°": turned(Image.Transpose.ROTATE_180),
    "rotated by 270°": turned(Image.Transpose.ROTATE_270),
    "negative": lambda image, rng: ImageOps.invert(image),
    "cropped by 10 %": cropped,
    "cropped by 10 % at each border": cropped_around,
    "shifted by 10 % along one axis": shifted(0),
    "shifted by 10 % along the other": shifted(1),
    "shifted by 10 % along both": shifted(0, 1),
    "mirrored and cropped": mirrored_and(cropped),
    "mirrored and shifted": mirrored_and(shifted(0)),
}


def thumbnail(image: Image.Image) -> np.ndarray:
    """Thumbnail as ingest takes it, uint8 [32, 32]."""
    return np.frombuffer(image_statistics(image).thumbnail, np.uint8).reshape(HASH_SIDE, HASH_SIDE)


def copies(photo: Path) -> np.ndarray:
    """Thumbnails of a photo and of its changed copies, uint8 [1 + len(CHANGES), 32, 32]."""
    image, rng = decode.decode(photo.read_bytes()), np.random.default_rng(len(photo.name) + photo.stat().st_size)
    encoded = [jpeg.encode(np.asarray(change(image, rng)), 85) for change in CHANGES.values()]
    return np.stack([thumbnail(image), *(thumbnail(decode.decode(data, at_least=SIDE)) for data in encoded)])


def cuts(photo: Path) -> tuple[np.ndarray, np.ndarray]:
    """Thumbnails of a photo's quarters, and of 36 random cuts of a third to two thirds of its sides."""
    image, rng = decode.decode(photo.read_bytes()), np.random.default_rng(photo.stat().st_size)
    quarters = [(x, y, x + 0.5, y + 0.5) for x in (0, 0.5) for y in (0, 0.5)]
    sizes = rng.uniform(0.33, 0.67, (36, 2))
    starts = rng.uniform(0, 1, (36, 2)) * (1 - sizes)
    boxes = np.concatenate([quarters, np.concatenate([starts, starts + sizes], axis=1)]) * (image.size * 2)
    pictures = np.stack([thumbnail(image.crop(tuple(box))) for box in boxes.round().astype(int).tolist()])
    return pictures[:4], pictures[4:]


def recall(originals: np.ndarray, changed: np.ndarray, others: np.ndarray, workers: int) -> tuple[float, float]:
    """Share of copies that are found, with the copy in train and with the copy in test; others are in train too."""
    count = len(originals)
    pictures = np.concatenate([originals, changed, others])
    own, train = np.arange(count), np.arange(count, len(pictures))
    matches = look_alikes.find(pictures, own, train, workers)
    pictures[: 2 * count] = np.concatenate([changed, originals])
    back = look_alikes.find(pictures, own, train, workers)
    first, second = (float((match.second == match.first + count).sum() / count) for match in (matches, back))
    return first, second


def false_alarms(quarters: np.ndarray, workers: int) -> tuple[int, int]:
    """Number of look-alikes among quarters [N, 4, 32, 32] of different photos, and of pairs that were searched."""
    pictures = quarters.reshape(-1, HASH_SIDE, HASH_SIDE)
    first = np.random.default_rng(0).permutation(len(pictures))[:LOOKED_UP]
    matches = look_alikes.find(pictures, first, np.arange(len(pictures)), workers)
    return int((matches.first // 4 != matches.second // 4).sum()), len(first) * (len(pictures) - 4)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write the result, and return 1 where a promise does not hold."""
    parser = argparse.ArgumentParser(prog="benchmarks.lookalikes", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of JPEG photos")
    photos = sorted(parser.parse_args(arguments).folder.rglob("*.jpg"))
    workers = processes.workers()
    with ThreadPoolExecutor(workers) as pool:
        changed = np.stack(list(pool.map(copies, photos[:COPIES])))
        quarters, pieces = (np.stack(part) for part in zip(*pool.map(cuts, photos), strict=True))
    rows = []
    for number, name in enumerate(CHANGES, 1):
        shares = recall(changed[:, 0], changed[:, number], quarters[COPIES:].reshape(-1, *changed.shape[2:]), workers)
        rows.append(Row(name, *(round(share, 4) for share in shares)))
        print(f"{name:36}{shares[0]:8.1%}{shares[1]:8.1%}", flush=True)
    alarms, pairs = false_alarms(quarters, workers)
    print(f"{alarms} false alarms among {pairs:,} pairs", flush=True)
    large = pieces.reshape(-1, HASH_SIDE, HASH_SIDE)
    large = large[np.random.default_rng(1).permutation(len(large))[: TESTS + LARGE]]
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    look_alikes.find(large, np.arange(TESTS), np.arange(TESTS, len(large)), workers)
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    peak = after.ru_maxrss * 1024 / 1e9
    print(f"{TESTS:,} among {len(large) - TESTS:,}: {seconds:.0f} s ({busy:.0f} s of CPU), {peak:.1f} GB")
    speed = {"test": TESTS, "train": len(large) - TESTS, "seconds": round(seconds, 1), "cpu_seconds": round(busy, 1)}
    speed |= {"peak_GB": round(peak, 2), "cores": os.cpu_count(), "workers": workers}
    alarm = {"false": alarms, "pairs": pairs}
    files.write_json(RESULT, {"copies": [asdict(row) for row in rows], "strangers": alarm, "speed": speed})
    held = all(min(row.in_train, row.in_test) >= AT_LEAST for row in rows) and alarms <= AT_MOST * pairs
    return int(not held)


if __name__ == "__main__":
    sys.exit(main())
