"""Passes of networks over a split: what is computed, and the computation in this process."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sadcl.data.shards.batches import evaluation_batches
from sadcl.data.shards.reader import Shards
from sadcl.errors import SadclError
from sadcl.evaluation.corruptions import CORRUPTIONS
from sadcl.model import device, tagger
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
    """Compute the logits in this process, one pass after the other.

    Args:
        passes: what to compute.
        shards: the split.
        batch: photos at a time.

    Returns:
        float32 [N, C] for each pass.

    Raises:
        SadclError: a file is damaged, or a photo can't be decoded.
    """
    return [_logits(one, shards, batch) for one in passes]


def _logits(one: Pass, shards: Shards, batch: int) -> Floats:
    network, head = loader.load_network(one.file, one.which)
    target, spoil = device.pick(), CORRUPTIONS[one.corruption] if one.corruption else None
    batches = evaluation_batches(shards, file_head.model_settings(one.file, head).for_test(), batch, spoil=spoil)
    tracked = track(batches, f"{one.photos}, {one.title}", total=-(-len(shards) // batch), each=batch)
    return tagger.logits(device.place(network, target), tracked, target)
