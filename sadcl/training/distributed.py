"""The global batch: gathering of embeddings when several processes share a batch."""

from collections.abc import Sequence

import torch
from torch import Tensor

from sadcl.training.fabric import Fabric


class Gather:
    """Gathers embeddings of all processes with their gradients; with one process it returns its arguments.

    Every process then computes the same loss. The backward pass sums the gradient of a gathered tensor over the
    processes, and DDP divides by their number when it averages the parameters' gradients: the result is that of one
    process with the whole batch.
    """

    def __init__(self, fabric: Fabric) -> None:
        self.fabric = fabric

    def batch(self, embeddings: Tensor, targets: Tensor, ignored: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gather embeddings [B, C, E], targets and ignored entries [B, C] of all processes, in order of rank."""
        if self.fabric.world_size == 1:
            return embeddings, targets, ignored
        # as floats: gloo gathers no bools
        gathered = [self._all(part) for part in (embeddings, targets.to(embeddings), ignored.to(embeddings))]
        # [processes, B, C, ...] to [processes * B, C, ...]: rank r has the r-th part of the global batch
        return gathered[0].flatten(0, 1), gathered[1].flatten(0, 1).bool(), gathered[2].flatten(0, 1).bool()

    def parts(self, tensor: Tensor) -> Tensor:
        """Gather parts [K, ...] of all processes, in order of rank: [processes * K, ...], without gradients."""
        return tensor if self.fabric.world_size == 1 else self._all(tensor.detach()).flatten(0, 1)

    def own_part(self, tensor: Tensor) -> Tensor:
        """This process's part [K, ...] of a tensor [processes * K, ...]."""
        return tensor.chunk(self.fabric.world_size)[self.fabric.global_rank]

    def mean_count(self, entries: Tensor) -> Tensor:
        """Count true entries: the mean over the processes, without waiting for the host.

        A loss that divides its sum by this number, and not by its own process's, is after DDP's average that of the
        global batch, however unevenly the entries lie.
        """
        count = entries.sum().float()
        # gloo averages nothing, so it is a sum
        return self.fabric.all_reduce(count, reduce_op="sum") / self.fabric.world_size  # type: ignore[operator,return-value]

    def activated(self, entries: Tensor, classes: Tensor, counts: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Gather activated entries [P, E] and their classes [P] of all processes, in order of rank.

        Args:
            entries: [P, E].
            classes: [P].
            counts: P of each process. The data loader knows them, so no process waits for another one's P.
        """
        if self.fabric.world_size == 1:
            return entries, classes
        missing = max(counts) - len(entries)  # all_gather takes tensors of one shape: pad, then cut
        padded = torch.cat([entries, entries.new_zeros(missing, entries.shape[1])])
        numbers = torch.cat([classes, classes.new_zeros(missing)])
        parts = zip(self._all(padded), self._all(numbers), counts, strict=True)
        # cut before any loss: a row of zeros would count as a sample of class 0
        unpadded = [(entries[:count], classes[:count]) for entries, classes, count in parts]
        return torch.cat([entries for entries, _ in unpadded]), torch.cat([classes for _, classes in unpadded])

    def _all(self, tensor: Tensor) -> Tensor:
        # labels and class numbers have no gradient to send back
        gathered: Tensor = self.fabric.all_gather(tensor, sync_grads=tensor.requires_grad)  # type: ignore[assignment]
        if gathered.requires_grad:
            # torch's backward over gloo reads the gradient's memory in order and ignores its strides
            gathered.register_hook(lambda gradient: gradient.contiguous())  # type: ignore[no-untyped-call]
        return gathered
