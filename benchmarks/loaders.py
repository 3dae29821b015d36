"""Loading of photos into batches: sadcl's loader against the literature's, on equal files and cores.

The photos are coco-mini's if they are under data/raw, else those of the scenes. Both are small, so copies are enlarged
to 640 x 480 (or 480 x 640) and, for photos at full size, to 1280 x 960. Enlarged photos are smooth and give small files
that decode fast; so some rows have a second form, with a grain that makes files as large as COCO's (160 kB).
"""

import atexit
import io
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import simplejpeg
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks import s3_server
from benchmarks.pairs import Pair
from sadcl import params, processes
from sadcl.data.images import augment, decode
from sadcl.data.images.resize import squash
from sadcl.data.ingest import ingest
from sadcl.data.shards import cache as shard_cache
from sadcl.data.shards import writer
from sadcl.data.shards.batches import TrainingBatches, evaluation_batches
from sadcl.data.shards.reader import Shards
from sadcl.data.table import Table

MODEL, TEST = Path("models/train"), Path("data/shards/test")
COUNT, BATCH = 1024, 64
FOLDERS = ("data/raw/coco-mini/images", "data/raw/scenes/images/train")
LARGE, FULL = (640, 480), (1280, 960)
GRAIN = 10.0
"""Standard deviation of the grain, in levels."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CROP = params.Augmentation(kind="multiscale_crop", flip=True)


@dataclass(frozen=True)
class Files:
    """Photo files, their table, and their shards at full size and at short side 256."""

    root: Path
    table: Table
    whole: Shards
    small: Shards

    @property
    def paths(self) -> list[Path]:
        return [self.root / self.table.source / name for name in self.table.frame["file"]]


def originals() -> list[Path]:
    """Find photos to copy; empty where there are none."""
    for folder in FOLDERS:
        paths = sorted(Path(folder).glob("*.jpg"))
        if paths:
            return paths[:COUNT]
    return []


@cache
def prepared(size: tuple[int, int] = LARGE, grain: float = 0.0) -> Files:
    """Create copies of a size, their table and shards, in a temporary folder that lasts as long as the process."""
    folder = Path(_temporary().name) / f"{size[0]}-{grain}"
    source = folder / "raw"
    source.mkdir(parents=True)
    names = []
    for i, path in enumerate(originals()):
        image = Image.open(path).convert("RGB")
        large = image.resize(size if image.width >= image.height else size[::-1], Image.Resampling.BICUBIC)
        if grain:
            noise = np.random.default_rng(i).normal(0, grain, (large.height, large.width, 1))
            large = Image.fromarray((np.asarray(large) + noise).clip(0, 255).astype(np.uint8))
        large.save(source / f"{i}.jpg", quality=90)
        names.append(f"{i}.jpg,{'ab'[i % 2]},train")
    (source / "labels.csv").write_text("\n".join(["file,labels,split", *names]) + "\n")
    settings = params.Ingest(
        source="raw", format="csv", annotations={"train": "labels.csv"}, images={"train": "."}, select_fraction=0
    )
    table = ingest(folder, "raw", settings, 1, folder / "cache", processes.workers())
    for name, side in (("whole", None), ("small", 256)):
        writer.write_shards(table, folder, folder / name, params.Prepare(short_side=side), processes.workers())
    return Files(folder, table, Shards(folder / "whole/train"), Shards(folder / "small/train"))


_stack = ExitStack()
"""Contexts that end with this process."""
atexit.register(_stack.close)


@cache
def _temporary() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="sadcl-bench-")


def model(side: int) -> params.Model:
    return params.Model(
        backbone="none", side=side, mean=MEAN, std=STD, width=8, heads=1, feedforward=8, embedding=8
    )  # fmt: skip


class Plain(Dataset[Tensor]):
    """The literature's data set: open, RGB, transform of Pillow images, tensor, normalise."""

    def __init__(self, paths: list[Path], transform: Callable[[Image.Image], Image.Image]) -> None:
        self.paths, self.transform = paths, transform
        self.mean, self.std = torch.tensor(MEAN)[:, None, None], torch.tensor(STD)[:, None, None]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> Tensor:
        image = self.transform(Image.open(self.paths[row]).convert("RGB"))
        tensor = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float().div(255)
        return tensor.sub_(self.mean).div_(self.std)


def plain_loader(
    paths: list[Path], transform: Callable[[Image.Image], Image.Image], shuffle: bool
) -> DataLoader[Tensor]:
    return DataLoader(
        Plain(paths, transform), BATCH, shuffle=shuffle, num_workers=processes.workers(), persistent_workers=True
    )


@dataclass(frozen=True)
class PlainCrop:
    """The multi-scale crop on Pillow images."""

    side: int

    def __call__(self, image: Image.Image) -> Image.Image:
        rng = np.random.default_rng()
        large = round(self.side * CROP.enlarge)
        sides = augment.crop_sides(large, self.side)
        across, down = augment.SCALE_PAIRS[rng.integers(len(augment.SCALE_PAIRS))]
        x, y = augment.ANCHORS[rng.integers(len(augment.ANCHORS))]
        left, top = x * ((large - sides[across]) // 4), y * ((large - sides[down]) // 4)
        enlarged = image.resize((large, large), Image.Resampling.BILINEAR)
        crop = enlarged.crop((left, top, left + sides[across], top + sides[down]))
        crop = crop.resize((self.side, self.side), Image.Resampling.BILINEAR)
        return crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else crop


@dataclass(frozen=True)
class PlainSquash:
    """The test transform on Pillow images."""

    side: int

    def __call__(self, image: Image.Image) -> Image.Image:
        return image.resize((self.side, self.side), Image.Resampling.BILINEAR)


def _training(shards: Shards, paths: list[Path], side: int) -> Pair:
    batches = TrainingBatches(shards, model(side), CROP, BATCH, 1, keep_bytes=0)
    loader = plain_loader(paths, PlainCrop(side), shuffle=True)
    return lambda: sum(1 for _ in batches.epoch(0)), lambda: sum(1 for _ in loader)


def _evaluation(files: Files) -> Pair:
    loader = plain_loader(files.paths, PlainSquash(448), shuffle=False)
    return lambda: sum(1 for _ in evaluation_batches(files.whole, model(448), BATCH)), lambda: sum(1 for _ in loader)


def training_448() -> Pair:
    """Stage-2 batches at 448 px from shards at full size."""
    return _training(prepared().whole, prepared().paths, 448)


def training_448_grain() -> Pair:
    """Stage-2 batches at 448 px from files as large as COCO's."""
    files = prepared(grain=GRAIN)
    return _training(files.whole, files.paths, 448)


def training_224() -> Pair:
    """Stage-2 batches at 224 px from shards at short side 256, against the literature's from photos at full size."""
    return _training(prepared().small, prepared().paths, 224)


def evaluation_448() -> Pair:
    """Test batches at 448 px."""
    return _evaluation(prepared())


def evaluation_448_grain() -> Pair:
    """Test batches at 448 px from files as large as COCO's."""
    return _evaluation(prepared(grain=GRAIN))


def remote_shards() -> Pair:
    """Stage-2 batches at 224 px from shards on S3 whose copies are here, against shards in the project."""
    files = prepared()
    address = _stack.enter_context(s3_server.bucket(files.root))
    os.environ[shard_cache.FOLDER] = str(files.root / "cache")
    settings = params.Prepare(short_side=256, store=f"{address}/shards")
    writer.write_shards(files.table, files.root, files.root / "remote", settings, processes.workers())
    remote, local = (
        TrainingBatches(shards, model(224), CROP, BATCH, 1, keep_bytes=0)
        for shards in (Shards(files.root / "remote/train"), files.small)
    )
    return lambda: sum(1 for _ in remote.epoch(0)), lambda: sum(1 for _ in local.epoch(0))


def _prepare(files: Files) -> Pair:
    """Shards at short side 256, against a loop with Pillow over equal files on as many threads."""
    settings = params.Prepare(short_side=256)

    def shards() -> None:
        with tempfile.TemporaryDirectory() as folder:
            writer.write_shards(files.table, files.root, Path(folder), settings, processes.workers())

    def resize(path: Path, folder: Path) -> None:
        image = Image.open(path).convert("RGB")
        scale = 256 / min(image.size)
        size = (round(image.width * scale), round(image.height * scale))
        image.resize(size, Image.Resampling.BICUBIC).save(folder / path.name, quality=settings.quality)

    def plain() -> None:
        with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(processes.workers()) as pool:
            list(pool.map(lambda path: resize(path, Path(folder)), files.paths))

    return shards, plain


def prepare_full() -> Pair:
    """Shards at short side 256 from photos at full size."""
    return _prepare(prepared(FULL))


def prepare_large() -> Pair:
    """Shards at short side 256 from photos of COCO's size, too small to be decoded at half size."""
    return _prepare(prepared())


def decoding() -> Pair:
    """An epoch of test batches, against the limit of any loader: decoding alone, on all cores."""
    data = [path.read_bytes() for path in prepared().paths]

    def limit() -> None:
        with ThreadPoolExecutor(processes.workers()) as pool:
            list(pool.map(simplejpeg.decode_jpeg, data))

    return evaluation_448()[0], limit


def training_decoding() -> Pair:
    """Stage-2 batches, against decoding alone."""
    return training_448()[0], decoding()[1]


def pixels_448() -> Pair:
    """Mean absolute difference of pixels from the plain chain's, at 448 px from full size, in levels of 255."""
    return lambda: _difference(448, prepared().whole), lambda: None


def pixels_224() -> Pair:
    """Mean absolute difference of pixels at 224 px, from shards at short side 256, in levels of 255."""
    return lambda: _difference(224, prepared().small), lambda: None


def _difference(side: int, shards: Shards) -> float:
    differences = []
    for row, name in enumerate(shards.ids):
        image = PlainSquash(side)(Image.open(prepared().root / prepared().table.source / name).convert("RGB"))
        pixels = squash(decode.pixels(shards.jpeg(row), at_least=side), side)
        differences.append(np.abs(pixels.astype(int) - np.asarray(image)).mean())
    return float(np.mean(differences))


def scores() -> Pair:
    """Mean absolute difference of the trained model's scores from those on the plain chain's pixels."""
    from sadcl.weights.loader import load_tagger

    test, tagger = Shards(TEST), load_tagger(MODEL)
    data = [test.jpeg(i) for i in range(len(test))]
    plain = PlainSquash(int(tagger.head["preprocessing"]["side"]))

    def difference() -> float:
        baseline = tagger.scores([plain(Image.open(io.BytesIO(photo)).convert("RGB")) for photo in data])
        return float(np.abs(tagger.scores(data) - baseline).mean())

    return difference, lambda: None
