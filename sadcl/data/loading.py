"""Batches: decoded, augmented and normalised ahead of the trainer, the same whoever works on them."""

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sadcl import params, processes
from sadcl.data import photos
from sadcl.data.augment import transform
from sadcl.data.shards import Shards
from sadcl.errors import SadclError

AHEAD = 4
"""Batches that are under way while the trainer works on one."""
KEPT_BYTES = 1 << 30
"""Squashed photos stay in memory where the whole split fits into this."""


@dataclass(frozen=True)
class Batch:
    """A batch on the host.

    Attributes:
        images: float32 [B, 3, S, S], normalised, channels last in memory.
        targets, ignored: bool [B, C].
        ids: B image ids.
        rows: [B], where they stand in the shards.
    """

    images: Tensor
    targets: Tensor
    ignored: Tensor
    ids: list[str]
    rows: np.ndarray


class TrainingBatches:
    """Shuffled and augmented batches of a split.

    Order is drawn from (seed, epoch), a photo's augmentation from (seed, epoch, image id): neither depends on
    the number of workers or processes.
    """

    def __init__(
        self,
        shards: Shards,
        model: params.Model,
        augmentation: params.Augmentation,
        batch: int,
        seed: int,
        *,
        rank: int = 0,
        world: int = 1,
        workers: int | None = None,
    ) -> None:
        """Args:
        shards: the training split.
        model: side and normalisation.
        augmentation: what is done to photos.
        batch: the global batch.
        seed: of everything drawn here.
        rank, world: this process and how many share the batch.
        workers: threads; ``SADCL_WORKERS`` or the number of cores.

        Raises:
            SadclError: no photo, or the batch can't be shared evenly.
        """
        if not len(shards):
            raise SadclError("The training split has no photo", where=shards.directory, fix="Check ingest's settings")
        self.size = min(batch, len(shards))
        if self.size % world:
            raise SadclError(
                f"A batch of {self.size} can't be shared by {world} processes", where="batch", fix="Change it"
            )
        self.shards, self.model, self.seed, self.rank, self.world = shards, model, seed, rank, world
        self.steps = len(shards) // self.size
        self.workers = workers or processes.workers()
        self._transform = transform(augmentation, model.side)
        squashes = augmentation.kind != "multiscale_crop" and len(shards) * model.side**2 * 3 <= KEPT_BYTES
        self._kept: dict[int, Image.Image] | None = {} if squashes else None

    def rows(self, epoch: int, step: int) -> np.ndarray:
        """Rows of the global batch [batch]; the last partial batch of an epoch is left out."""
        order = _generator(self.seed, epoch, "order").permutation(len(self.shards))
        return order[step * self.size : (step + 1) * self.size]

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """This process's part of each batch of an epoch, from step ``start`` on."""
        order = _generator(self.seed, epoch, "order").permutation(len(self.shards))
        each = self.size // self.world
        first = self.rank * each
        for step_rows, pixels in _ahead(
            (order[s * self.size + first : s * self.size + first + each] for s in range(start, self.steps)),
            lambda row: self._photo(row, epoch),
            self.workers,
        ):
            yield _batch(self.shards, self.model, step_rows, pixels)

    def _photo(self, row: int, epoch: int) -> np.ndarray:
        image = self._kept.get(row) if self._kept is not None else None
        if image is None:
            image = _open(self.shards, row, self.model.side)
            if self._kept is not None:
                image = self._kept[row] = Image.fromarray(photos.squash(image, self.model.side))
        return self._transform(image, _generator(self.seed, epoch, self.shards.ids[row]))


def evaluation_batches(shards: Shards, model: params.Model, batch: int, workers: int | None = None) -> Iterator[Batch]:
    """All photos in order, squashed to S x S; the last batch may be short."""
    side = model.side
    rows = (np.arange(i, min(i + batch, len(shards))) for i in range(0, len(shards), batch))
    for step_rows, pixels in _ahead(
        rows, lambda row: photos.squash(_open(shards, row, side), side), workers or processes.workers()
    ):
        yield _batch(shards, model, step_rows, pixels)


def normalise(images: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """uint8 [B, S, S, 3] to float32 [B, 3, S, S], channels last in memory: (x / 255 - mean) / std."""
    scale = torch.tensor([1 / (255 * s) for s in std])
    offset = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)])
    return torch.addcmul(offset, torch.from_numpy(images).float(), scale).permute(0, 3, 1, 2)


def _batch(shards: Shards, model: params.Model, rows: np.ndarray, pixels: np.ndarray) -> Batch:
    return Batch(
        normalise(pixels, model.mean, model.std),
        torch.from_numpy(shards.targets[rows]),
        torch.from_numpy(shards.ignored[rows]),
        [shards.ids[row] for row in rows],
        rows,
    )


def _ahead(
    batches: Iterator[np.ndarray], photo: Callable[[int], np.ndarray], workers: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows and their pixels [B, S, S, 3], in order, with a few batches always under way.

    An error in a worker comes out here; when the consumer leaves early, what has not begun is dropped.
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix="photos")
    waiting: deque[tuple[np.ndarray, list[Future[np.ndarray]]]] = deque()
    try:
        for rows in islice(batches, AHEAD):
            waiting.append((rows, [pool.submit(photo, int(row)) for row in rows]))
        while waiting:
            rows, parts = waiting.popleft()
            for more in islice(batches, 1):
                waiting.append((more, [pool.submit(photo, int(row)) for row in more]))
            yield rows, np.stack([part.result() for part in parts])
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _open(shards: Shards, row: int, side: int) -> Image.Image:
    return photos.decode(shards.jpeg(row), at_least=side, where=f"image {shards.ids[row]}")


def _generator(seed: int, epoch: int, name: str) -> np.random.Generator:
    key = hashlib.sha256(f"{seed}\0{epoch}\0{name}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(key[:16], "big")))
