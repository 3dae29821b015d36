"""Cache of a backbone's feature maps and pooled features, computed once and shared by the training of every head."""

import hashlib
from collections.abc import Iterable, Iterator
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sadcl import extras, files, layout, params
from sadcl.data.shards.batches import Batch, TrainingBatches, batch_of, evaluation_batches, in_order
from sadcl.data.shards.reader import Shards
from sadcl.model.frozen_prefix import FrozenPrefix
from sadcl.model.network import Network
from sadcl.progress import track

CODE = ("data/images", "data/shards", "model")
"""Folders of the code that decides the maps."""
LIBRARIES = ("torch", "timm", "numpy", "simplejpeg", "pillow")
"""Distributions that decide the maps."""
BATCH = 64
SEED = 0
"""Seed of the augmented views, which trainings of all seeds share."""


class FeatureMaps:
    """Feature maps of photos: float16 on disk, memory-mapped, keyed by everything that determines their values.

    Of a backbone that learns in part, the maps are those after its frozen prefix.

    Args:
        network: whose backbone computes the maps.
        model: section model.
        device: compute device.
    """

    def __init__(self, network: Network, model: params.Model, device: torch.device) -> None:
        self.backbone, self.model, self.device = network.backbone, model, device
        self._weights: dict[str, str] = {}
        # no more keys than decide the maps: heads and learning rates share one cache
        settings = model.model_dump(mode="json", include={"backbone", "output_stride", "dilated", "mean", "std"})
        # a network for one side keeps its windows where it is used at another one
        built_for = {"built_for": self.backbone.side} if self.backbone.side else {}
        self._settings = {"model": settings, **built_for}

    @cached_property
    def prefix(self) -> FrozenPrefix | None:
        """The part of the backbone that the maps come from; None where it is all of it."""
        return self.backbone.split(self.model.side) if self.backbone.learns else None

    def _key(self, prefix: FrozenPrefix | None) -> dict[str, Any]:
        """Everything that decides the maps besides photos and their augmentation."""
        end = prefix.boundary if prefix else ""
        # once: these weights stay, but a trainer may convert them to another precision
        if end not in self._weights:
            self._weights[end] = _digest(self.backbone.body, prefix.parts if prefix else ("",))
        return {"weights": self._weights[end], "end": end, "software": _software(), **self._settings}

    def training(self, batches: TrainingBatches, augmentation: params.Augmentation, epochs: int) -> "MapBatches":
        """Convert training batches to batches of feature maps; all views for ``epochs`` are computed now.

        Raises:
            SadclError: the backbone learns, and its frozen parts can't be separated from the rest.
        """
        for number in range(min(augmentation.views or 1, epochs)):
            self.view(batches.shards, augmentation, number)
        return MapBatches(self, batches, augmentation)

    def view(self, shards: Shards, augmentation: params.Augmentation, number: int) -> np.ndarray:
        """Load or compute maps [N, h, w, channels] of a training split under its ``number``-th augmentation."""
        batches = TrainingBatches(shards, self.model, augmentation, BATCH, SEED)
        # without `views`: more views later leave the first ones as they are. The batches are read only where maps are
        # missing; until then no photo is decoded.
        settings = augmentation.model_dump(mode="json", exclude={"views"})
        return self._load(shards, self.model, {"augmentation": settings, "number": number}, batches.every(number))

    def evaluation(
        self, shards: Shards, model: params.Model, batch: int, rows: np.ndarray | None = None
    ) -> Iterator[Batch]:
        """Iterate over maps of all photos in order, or of ``rows``, squashed to ``model.side``."""
        maps = self._load(shards, model, None, evaluation_batches(shards, model, BATCH))
        return (batch_of(shards, part, _images(maps, part)) for part in in_order(shards, batch, rows))

    def pooled(self, shards: Shards, model: params.Model) -> np.ndarray:
        """Load or compute the means of all maps [N, channels] in float32, squashed to ``model.side``."""
        return self._load(shards, model, "pooled", evaluation_batches(shards, model, BATCH), pooled=True)

    def _load(
        self, shards: Shards, model: params.Model, view: object, photos: Iterable[Batch], pooled: bool = False
    ) -> np.ndarray:
        """Read maps from disk; compute them first, from all photos in order, where they are missing."""
        key = files.digest_of(
            {**self._key(None if pooled else self.prefix), "side": model.side, "shards": shards.digest, "view": view}
        )
        path = layout.FEATURE_CACHE / f"{key[:32]}.npy"
        if not len(shards):
            return np.zeros((0, self.backbone.channels), np.float32)
        if not path.exists():
            self._compute(path, len(shards), photos, pooled)
        # mapped: the maps of a large split need not fit into memory, and trainings side by side share the pages
        maps: np.ndarray = np.load(path, mmap_mode="r")
        return maps

    def _compute(self, path: Path, count: int, photos: Iterable[Batch], pooled: bool) -> None:
        # in evaluation mode, as after training: maps must not depend on which photos share a batch
        was_training = self.backbone.training
        self.backbone.to(self.device).eval()
        with files.atomic_write(path) as temporary_path, torch.inference_mode(), open(temporary_path, "wb") as file:
            label = "pooled features" if pooled else "feature maps"
            for i, batch in enumerate(track(photos, label, total=-(-count // BATCH), each=BATCH)):
                maps = self._maps(batch.images.to(self.device), None if pooled else self.prefix)
                # [B, channels, h, w] to [B, h, w, channels]: the order in which the heads read memory (channels last)
                features = maps.float().mean((2, 3)) if pooled else maps.permute(0, 2, 3, 1).half()
                array = features.cpu().contiguous().numpy()
                if i == 0:  # the header needs the maps' shape, which only the first batch tells
                    shape = (count, *array.shape[1:])
                    head = {"descr": array.dtype.str, "fortran_order": False, "shape": shape}
                    np.lib.format.write_array_header_2_0(file, head)
                file.write(array.data)
        self.backbone.train(was_training)

    def _maps(self, images: Tensor, prefix: FrozenPrefix | None) -> Tensor:
        """Output of the backbone, or of its frozen prefix alone."""
        if prefix is not None:
            return prefix.compute(self.backbone.body, images)
        maps: Tensor = self.backbone(images)
        return maps


class MapBatches:
    """``TrainingBatches`` whose images are feature maps [B, channels, h, w]; epoch e sees view e mod ``views``."""

    def __init__(self, maps: FeatureMaps, batches: TrainingBatches, augmentation: params.Augmentation) -> None:
        self.maps, self.batches, self.augmentation = maps, batches, augmentation
        self.steps, self.batch = batches.steps, batches.batch

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Iterate over this process's part of each batch of an epoch, from step ``start``."""
        shards = self.batches.shards
        maps = self.maps.view(shards, self.augmentation, epoch % (self.augmentation.views or 1))
        for step in range(start, self.steps):
            # the order is the training's own, by its seed; only views are shared between seeds
            rows = self.batches.mine(epoch, step)
            yield self.batches.shared(batch_of(shards, rows, _images(maps, rows)), epoch, step)


def _images(maps: np.ndarray, rows: np.ndarray) -> Tensor:
    """Select maps as a tensor [B, channels, h, w] in float32, channels last in memory."""
    return torch.from_numpy(maps[rows].astype(np.float32)).permute(0, 3, 1, 2)


@cache
def _software() -> dict[str, str]:
    """Digest of the code, and versions of the libraries, that decide the maps."""
    return {"code": files.digest_of_code(*CODE), **extras.versions(LIBRARIES)}


def _digest(net: torch.nn.Module, parts: Iterable[str]) -> str:
    """Digest of the tensors of some parts of a network; the part "" is the whole network."""
    tensors: dict[str, Any] = net.state_dict()
    names = [name for name in tensors if any(not part or name.startswith(f"{part}.") for part in parts)]
    # of the tensors, not of a file: stages 1 and 2 have the same frozen backbone in different files, and share its maps
    digests = {n: hashlib.sha256(tensors[n].cpu().contiguous().numpy().tobytes()).hexdigest() for n in names}
    return files.digest_of(digests)
