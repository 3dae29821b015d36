"""Passes of networks over a split: what is computed, and the computation in this process."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from torch import nn

from sadcl import params
from sadcl.data.shards.batches import Batch, evaluation_batches
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
    if not len(shards):
        return [np.zeros((0, 0), np.float32) for _ in passes]
    target = device.pick()
    networks: dict[tuple[Path, Which], tuple[nn.Module, params.Model]] = {}
    groups: dict[tuple[object, ...], list[int]] = {}
    for number, one in enumerate(passes):
        key = one.file, one.which
        if key not in networks:
            network, head = loader.load_network(*key)
            networks[key] = device.place(network, target), file_head.model_settings(one.file, head).for_test()
        model = networks[key][1]
        groups.setdefault((one.corruption, model.side, model.mean, model.std), []).append(number)
    logits: dict[int, Floats] = {}
    for numbers in groups.values():
        group = [passes[number] for number in numbers]
        loaded = [networks[one.file, one.which] for one in group]
        shared = SharedBackbones([network for network, _ in loaded])
        batches = _batches(group, loaded[0][1], shards, batch)
        parts = [shared.logits(one.images.to(target)) for one in batches]
        logits |= zip(numbers, map(np.concatenate, zip(*parts, strict=True)), strict=True)
    return [logits[number] for number in range(len(passes))]


def _batches(group: Sequence[Pass], model: params.Model, shards: Shards, batch: int) -> Iterator[Batch]:
    """Photos as the passes of a group take them, with progress."""
    first = group[0]
    title = first.title if len(group) == 1 else f"{len(group)} networks"
    spoil = CORRUPTIONS[first.corruption] if first.corruption else None
    batches = evaluation_batches(shards, model, batch, spoil=spoil)
    return track(batches, f"{first.photos}, {title}", total=-(-len(shards) // batch), each=batch)
