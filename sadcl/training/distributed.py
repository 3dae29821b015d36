"""The global batch: what the contrastive losses see when several processes share it."""

from collections.abc import Sequence

import torch
from lightning_fabric import Fabric
from torch import Tensor


class Gather:
    """Brings embeddings of all processes together, gradients included; with one process it passes them on.

    Every process then computes the same loss. The gradient of a gathered tensor is summed over the
    processes and divided by their number when the parameters' gradients are averaged, so that all ends as if
    one process had held the whole batch.
    """

    def __init__(self, fabric: Fabric) -> None:
        self.fabric = fabric

    def batch(self, embeddings: Tensor, targets: Tensor, ignored: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[B, C, E] and two [B, C] of this process to those of all, in order of rank."""
        if self.fabric.world_size == 1:
            return embeddings, targets, ignored
        gathered = [self._all(part) for part in (embeddings, targets.to(embeddings), ignored.to(embeddings))]
        return gathered[0].flatten(0, 1), gathered[1].flatten(0, 1).bool(), gathered[2].flatten(0, 1).bool()

    def activated(self, entries: Tensor, classes: Tensor, counts: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Activated entries [P, E] and their classes [P], of this process to those of all.

        Args:
            entries: [P, E].
            classes: [P].
            counts: P of each process, which nobody then has to ask the others for.
        """
        if self.fabric.world_size == 1:
            return entries, classes
        missing = max(counts) - len(entries)
        padded = torch.cat([entries, entries.new_zeros(missing, entries.shape[1])])
        numbers = torch.cat([classes, classes.new_zeros(missing)])
        parts = zip(self._all(padded), self._all(numbers), counts, strict=True)
        kept = [(entries[:count], classes[:count]) for entries, classes, count in parts]
        return torch.cat([entries for entries, _ in kept]), torch.cat([classes for _, classes in kept])

    def _all(self, tensor: Tensor) -> Tensor:
        gathered: Tensor = self.fabric.all_gather(tensor, sync_grads=tensor.requires_grad)  # type: ignore[assignment]
        if gathered.requires_grad:
            # torch's own backward over gloo takes a gradient's memory as it lies, whatever its strides say
            gathered.register_hook(lambda gradient: gradient.contiguous())  # type: ignore[no-untyped-call]
        return gathered
