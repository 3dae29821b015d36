"""Passes of networks over a split: what is computed, and the computation in this process."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from sadcl.data.shards.batches import evaluation_batches
from sadcl.data.shards.reader import Shards
from sadcl.errors import SadclError
from sadcl.evaluation.corruptions import CORRUPTIONS
from sadcl.evaluation.shared_backbones import SharedBackbones
from sadcl.model import device
from sadcl.model.tagger import Floats
from sadcl.progress import track
from sadcl.weights import file_head, loader

Which = Literal["best", "ema", "raw"]


@dataclass(frozen=True)
class Pass:
    """One network on all photos of a split.

    Attributes:
        file: weights or ONNX file.
        which: averaged, raw or the better weights of the file.
        title: of the network, for progress.
        corruption: name of the corruption that photos get, if any.
        photos: what the photos are, for progress.
    """

    file: Path
    which: Which
    title: str
    corruption: str | None = None
    photos: str = "test images"


Compute = Callable[[Sequence[Pass], Shards, int], list[Floats]]
"""Function from passes, a split and the photos of a batch to logits, float32 [N, C] for each pass."""


class NotComputedError(SadclError):
    """Workers could not compute the scores, which says nothing about the model."""


def compute_here(passes: Sequence[Pass], shards: Shards, batch: int) -> list[Floats]:
    """Compute the logits in this process: passes over the same pixels share photos, and backbones that are equal.

    Args:
        passes: what to compute.
        shards: the split.
        batch: photos at a time.

    Returns:
        float32 [N, C] for each pass.

    Raises:
        SadclError: a file is damaged, or a photo can't be decoded.
    """
    groups: dict[tuple[object, ...], list[int]] = {}
    for number, one in enumerate(passes):
        model = file_head.model_settings(one.file, loader.read_head(one.file)).for_test()
        groups.setdefault((one.corruption, model.side, model.mean, model.std), []).append(number)
    logits: dict[int, Floats] = {}
    for numbers in groups.values():
        logits |= zip(numbers, _group([passes[number] for number in numbers], shards, batch), strict=True)
    return [logits[number] for number in range(len(passes))]


def _group(passes: Sequence[Pass], shards: Shards, batch: int) -> list[Floats]:
    """Logits of passes over the same pixels, [N, C] each."""
    first, target = passes[0], device.pick()
    loaded = {(one.file, one.which): loader.load_network(one.file, one.which) for one in passes}
    model = file_head.model_settings(first.file, loaded[first.file, first.which][1]).for_test()
    networks = SharedBackbones([device.place(loaded[one.file, one.which][0], target) for one in passes])
    spoil = CORRUPTIONS[first.corruption] if first.corruption else None
    title = first.title if len(passes) == 1 else f"{len(passes)} networks"
    batches = evaluation_batches(shards, model, batch, spoil=spoil)
    tracked = track(batches, f"{first.photos}, {title}", total=-(-len(shards) // batch), each=batch)
    parts = [networks.logits(one.images.to(target)) for one in tracked]
    if not parts:
        return [np.zeros((0, 0), np.float32) for _ in passes]
    return [np.concatenate(part) for part in zip(*parts, strict=True)]
