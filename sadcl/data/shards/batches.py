"""Batches of photos: decoded, augmented and normalised by threads ahead of the consumer.

Their content depends on seed, epoch and image id alone, never on the number of threads or processes.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from sadcl import params, processes
from sadcl.data.images import augment, decode
from sadcl.data.images.normalise import line_factors, normalise_into
from sadcl.data.images.resize import squash
from sadcl.data.shards.reader import Shards
from sadcl.errors import SadclError

AHEAD = 2
"""Batches in preparation or ready while the consumer works on one."""
TASKS = 4
"""Tasks per worker and batch: enough for an even load, few enough for a negligible cost."""
KEEP_BYTES = 1 << 30
"""Squashed photos of a split stay in memory where all of them fit into this."""


@dataclass(frozen=True)
class Batch:
    """A batch of B photos with C classes, on the host or on a device.

    Attributes:
        images: float32 [B, 3, S, S], normalised, channels last in memory; or feature maps [B, channels, h, w].
        targets: bool [B, C], present.
        ignored: bool [B, C], neither present nor absent.
        ids: B image ids.
        rows: int [B], row numbers in the shards.
        positives: photo and class, int [P] each, of the P present labels; computed on the host, where a device would
            have to wait for their number.
        shares: number of the global batch's positives in each process.
    """

    images: Tensor
    targets: Tensor
    ignored: Tensor
    ids: list[str]
    rows: np.ndarray
    positives: tuple[Tensor, Tensor]
    shares: tuple[int, ...]

    def to(self, device: torch.device) -> "Batch":
        """Copy the batch to a device."""
        if device.type == "cpu":
            return self
        tensors = (self.images, self.targets, self.ignored, *self.positives)
        # only a copy from pinned memory runs in the background
        moved = (tensor.pin_memory().to(device, non_blocking=True) for tensor in tensors)
        images, targets, ignored, photos, classes = moved
        return replace(self, images=images, targets=targets, ignored=ignored, positives=(photos, classes))


class TrainingBatches:
    """Shuffled and augmented batches of a split.

    The order is drawn from (seed, epoch), a photo's augmentation from (seed, epoch, image id): neither depends on
    the number of workers or processes, nor on the cache.

    Attributes:
        shards: the training split.
        batch: photos of a batch, over all processes.
        steps: batches per epoch; a last partial batch is left out.
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
        keep_bytes: int = KEEP_BYTES,
    ) -> None:
        """Prepare to draw batches; no photo is read yet.

        Args:
            shards: the training split.
            model: side and normalisation.
            augmentation: kind and strengths.
            batch: photos in the global batch; a smaller split is one batch.
            seed: of order and augmentation.
            rank: number of this process among those that share each batch.
            world: number of those processes.
            workers: threads; by default ``SADCL_WORKERS``, the number of cores, or more while photos come from S3.
            keep_bytes: bound of the cache: squashed photos stay in memory, decoded once, where all of them fit and
                the augmentation begins with the squash.

        Raises:
            SadclError: the split has too few photos, or the processes can't share the batch evenly.
        """
        self.batch = min(batch, len(shards))
        if not self.batch:
            raise SadclError(
                "The training split has 0 photos", where=shards.directory, fix="Check the settings of ingest"
            )
        # equal parts: averaged gradients are those of the whole batch only then. No photo is left out for it: a batch
        # has the same photos, however many processes share it.
        if self.batch % world:
            raise SadclError(
                f"{world} processes can't share a batch of {self.batch}", where="batch", fix="Change one of them"
            )
        self.steps = len(shards) // self.batch
        self.shards = shards
        self._model, self._seed, self._rank, self._world = model, seed, rank, world
        self._workers = workers
        self._augmented = _augmented(shards, augmentation, model.side, keep_bytes)
        self._drawn: tuple[int, np.ndarray] | None = None

    def rows(self, epoch: int, step: int) -> np.ndarray:
        """Rows of the global batch, int [batch]; process r of w works on the r-th of w equal parts."""
        # one permutation an epoch, kept: every step takes its slice of it
        if self._drawn is None or self._drawn[0] != epoch:
            order = _generator(self._seed, epoch, "order").permutation(len(self.shards))
            self._drawn = (epoch, order)
        return self._drawn[1][step * self.batch : (step + 1) * self.batch]

    def mine(self, epoch: int, step: int) -> np.ndarray:
        """Rows of this process's part of a batch, int [batch / world]."""
        return self._parts(epoch, step)[self._rank]

    def shared(self, batch: Batch, epoch: int, step: int) -> Batch:
        """Add the number of positives of every process to this process's part of a batch."""
        # from the labels that every process has: nobody has to ask the others
        shares = [int(self.shards.targets[rows].sum()) for rows in self._parts(epoch, step)]
        return replace(batch, shares=tuple(shares))

    def _parts(self, epoch: int, step: int) -> list[np.ndarray]:
        return np.split(self.rows(epoch, step), self._world)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Iterate over this process's part of each batch of an epoch.

        Args:
            epoch: counted from 0.
            start: the first step; a resumed training begins after the last step it finished.

        Raises:
            SadclError: a photo can't be decoded; the message names it.
        """
        steps = range(start, self.steps)
        self.shards.expect(np.concatenate([self.mine(epoch, step) for step in steps] or [np.array([], int)]))
        batches = self._photos(epoch, (self.mine(epoch, step) for step in steps))
        yield from (self.shared(batch, epoch, step) for step, batch in zip(steps, batches, strict=True))

    def every(self, epoch: int) -> Iterator[Batch]:
        """Iterate over all photos in order, augmented as for this epoch; the last batch may be short."""
        self.shards.expect(np.arange(len(self.shards)))
        yield from self._photos(epoch, in_order(self.shards, self.batch))

    def _photos(self, epoch: int, batches: Iterable[np.ndarray]) -> Iterator[Batch]:
        def photo(row: int) -> np.ndarray:
            return self._augmented(row, _generator(self._seed, epoch, f"image {self.shards.ids[row]}"))

        return _prefetched(self.shards, self._model, batches, photo, self._workers)


def evaluation_batches(
    shards: Shards,
    model: params.Model,
    batch: int,
    workers: int | None = None,
    rows: np.ndarray | None = None,
    spoil: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Iterator[Batch]:
    """Iterate over all photos in order, or those of ``rows``, squashed to S x S; the last batch may be short.

    Args:
        shards: the split.
        model: side and normalisation.
        batch: photos per batch.
        workers: threads; by default ``SADCL_WORKERS``, the number of cores, or more while photos come from S3.
        rows: row numbers in the shards; all by default.
        spoil: corruption that is applied to each squashed photo, uint8 [S, S, 3].

    Raises:
        SadclError: a photo can't be decoded; the message names it.
    """

    def photo(row: int) -> np.ndarray:
        pixels = _squashed(shards, row, model.side)
        return pixels if spoil is None else spoil(pixels)

    shards.expect(np.arange(len(shards)) if rows is None else rows)
    yield from _prefetched(shards, model, in_order(shards, batch, rows), photo, workers)


def in_order(shards: Shards, batch: int, rows: np.ndarray | None = None) -> Iterator[np.ndarray]:
    """Rows of all photos in order, or ``rows``, int [batch] at a time; the last array may be shorter."""
    rows = np.arange(len(shards)) if rows is None else rows
    return (rows[first : first + batch] for first in range(0, len(rows), batch))


def _augmented(
    shards: Shards, settings: params.Augmentation, side: int, keep_bytes: int
) -> Callable[[int, np.random.Generator], np.ndarray]:
    """Function from row and generator to uint8 [S, S, 3], with a cache of squashed photos where they fit."""
    after = augment.after_squash(settings)
    if after is None or len(shards) * side * side * 3 > keep_bytes:
        # decoded only as large as the augmentation needs; a crop needs more than a squash
        whole, detail = augment.transform(settings, side), augment.detail(settings, side)
        return lambda row, rng: whole(_decoded(shards, row, detail), rng)
    cache = np.empty((len(shards), side, side, 3), np.uint8)  # pages are allocated when they are written to
    cached = np.zeros(len(shards), bool)

    def photo(row: int, rng: np.random.Generator) -> np.ndarray:
        if not cached[row]:
            cache[row] = _squashed(shards, row, side)
            cached[row] = True  # after the pixels: another thread may read the flag at any moment
        return after(cache[row], rng)

    return photo


def _squashed(shards: Shards, row: int, side: int) -> np.ndarray:
    return squash(_decoded(shards, row, side), side)


def _decoded(shards: Shards, row: int, at_least: int) -> np.ndarray:
    # no bound on pixels: ingest has checked this photo
    return decode.pixels(
        shards.jpeg(row), at_least=at_least, max_pixels=1 << 62, where=f"image {shards.ids[row]} of {shards.directory}"
    )


def _prefetched(
    shards: Shards,
    model: params.Model,
    batches: Iterable[np.ndarray],
    photo: Callable[[int], np.ndarray],
    workers: int | None,
) -> Iterator[Batch]:
    """Prepare batches in threads, a few ahead of the consumer, in order.

    An error of a worker is raised here. When the consumer stops early, tasks that have not begun are cancelled.
    """
    workers = workers or max(processes.workers(), shards.threads)
    factor, summand = line_factors(model.mean, model.std, model.side)

    def work(rows: np.ndarray, slots: np.ndarray) -> None:
        for row, slot in zip(rows.tolist(), slots, strict=True):
            try:
                normalise_into(slot, photo(row), factor, summand)
            except Exception as error:
                error.add_note(f"The error concerns image {shards.ids[row]} of {shards.directory}")
                raise

    # threads, not processes: they write into the batch's own memory, and no photo is pickled
    pool = ThreadPoolExecutor(workers, thread_name_prefix="photos")
    waiting: deque[tuple[np.ndarray, np.ndarray, list[Future[None]]]] = deque()

    def begin(rows: np.ndarray) -> None:
        # each task fills its rows of the batch: nothing is stacked afterwards
        images = np.empty((len(rows), model.side, model.side, 3), np.float32)
        each = -(-len(rows) // (workers * TASKS))
        parts = range(0, len(rows), each)
        waiting.append((rows, images, [pool.submit(work, rows[i : i + each], images[i : i + each]) for i in parts]))

    def first() -> Batch:
        rows, images, tasks = waiting.popleft()
        for task in tasks:
            # raises a worker's error at the consumer
            task.result()
        # [B, S, S, 3] to [B, 3, S, S] as a view, channels last in memory as the convolutions want it
        return batch_of(shards, rows, torch.from_numpy(images).permute(0, 3, 1, 2))

    try:
        for rows in batches:
            begin(rows)
            if len(waiting) > AHEAD:
                yield first()
        while waiting:
            yield first()
    finally:
        pool.shutdown(cancel_futures=True)


def batch_of(shards: Shards, rows: np.ndarray, images: Tensor) -> Batch:
    """Batch of some rows of the shards, int [B], with their images or feature maps, [B, ...]."""
    targets = torch.from_numpy(shards.targets[rows])
    photo, label = targets.nonzero(as_tuple=True)
    return Batch(
        images=images,
        targets=targets,
        ignored=torch.from_numpy(shards.ignored[rows]),
        ids=list(shards.ids.take(rows)),
        rows=rows,
        positives=(photo, label),
        shares=(len(photo),),
    )


def _generator(seed: int, epoch: int, name: str) -> np.random.Generator:
    # \0 keeps the parts apart: seed 1 in epoch 11 is not seed 11 in epoch 1
    key = hashlib.sha256(f"{seed}\0{epoch}\0{name}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(key[:16], "big")))
