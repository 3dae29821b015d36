"""The memory bank: features of earlier batches (method, section 3.4)."""

import torch
from torch import Tensor


class Memory:
    """Features before the projector, ``tensor`` [K, C, D]: one slot for each position in the batch and each class.

    Slot (i, j) starts as the prototype of class j and later holds the last confident feature of class j at position i
    of a batch, so it is always a true sample of class j. The trainer owns this plain tensor. It is no buffer of a
    module: DDP would overwrite it from rank 0, and the moving average would average it.
    """

    def __init__(self, prototypes: Tensor, slots: int) -> None:
        self.tensor = prototypes.detach().expand(slots, *prototypes.shape).clone()

    def to(self, device: torch.device) -> "Memory":
        """Move the bank to a device."""
        self.tensor = self.tensor.to(device)
        return self

    @torch.no_grad()
    def update(self, features: Tensor, positives: tuple[Tensor, Tensor], scores: Tensor, threshold: float) -> None:
        """Store the features of present labels scored above ``threshold``; all other slots keep their values.

        Call it after the backward pass, which still needs the old values. A batch shorter than the memory uses the
        first slots.

        Args:
            features: [P, D], of the labels that are present.
            positives: their photos and classes [P]; no pair twice.
            scores: [P], probabilities (after the sigmoid).
            threshold: 0.8 in the paper's recipes.
        """
        # unconfident entries get their old values again: to select by a mask, the host would wait for the device
        new = torch.where((scores > threshold)[:, None], features.to(self.tensor), activated(self.tensor, positives))
        self.tensor.flatten(0, 1).index_copy_(0, _flat_index(self.tensor, positives), new)

    def state(self) -> Tensor:
        """Copy the bank for a checkpoint; later updates do not change the copy."""
        return self.tensor.clone()

    def restore(self, state: Tensor) -> None:
        """Restore the bank from a copy that ``state`` returned."""
        self.tensor.copy_(state)


def activated(tensor: Tensor, positives: tuple[Tensor, Tensor]) -> Tensor:
    """Select the activated entries: [B, C, ...] and P pairs of photo and class to [P, ...].

    Whole rows of the flattened tensor take half the time of indexing by pairs.
    """
    return tensor.flatten(0, 1).index_select(0, _flat_index(tensor, positives))


def _flat_index(tensor: Tensor, positives: tuple[Tensor, Tensor]) -> Tensor:
    """Row numbers [P] in a [B, C, ...] tensor flattened to [B * C, ...]."""
    photos, classes = positives
    return photos * tensor.shape[1] + classes
