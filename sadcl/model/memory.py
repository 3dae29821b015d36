"""The memory bank: features kept from earlier batches (method, section 3.4)."""

import torch
from torch import Tensor


class Memory:
    """``tensor`` [K, C, D], un-projected, one slot a place in the batch; every slot starts as the prototypes.

    A plain tensor that the trainer owns: no buffer (several processes would overwrite it from rank 0), not
    averaged, untouched by evaluation. Slot (i, j) holds a feature of class j, seen earlier at place i or the
    prototype, so it is always a true sample of class j.
    """

    def __init__(self, prototypes: Tensor, slots: int) -> None:
        self.tensor = prototypes.detach().expand(slots, *prototypes.shape).clone()

    def to(self, device: torch.device) -> "Memory":
        """Move to a device."""
        self.tensor = self.tensor.to(device)
        return self

    @torch.no_grad()
    def update(self, features: Tensor, positives: tuple[Tensor, Tensor], scores: Tensor, threshold: float) -> None:
        """Take the features of present labels that are scored above ``threshold``; the others stay.

        Call it after the backward pass, which still needs what the memory held. A batch shorter than the
        memory uses its first slots.

        Args:
            features: [P, D], of the labels that are present.
            positives: their photos and classes [P]; no pair twice.
            scores: [P], after the sigmoid.
            threshold: 0.8 in the paper's recipes.
        """
        new = torch.where((scores > threshold)[:, None], features.to(self.tensor), activated(self.tensor, positives))
        self.tensor.flatten(0, 1).index_copy_(0, _places(self.tensor, positives), new)

    def state(self) -> Tensor:
        """What a resumed training needs: a copy, which later updates leave alone."""
        return self.tensor.clone()

    def restore(self, state: Tensor) -> None:
        """Take ``state`` back."""
        self.tensor.copy_(state)


def activated(tensor: Tensor, positives: tuple[Tensor, Tensor]) -> Tensor:
    """[B, C, ...] to [P, ...], its entries at photos and classes [P]; as whole rows, in half the time of pairs."""
    return tensor.flatten(0, 1).index_select(0, _places(tensor, positives))


def _places(tensor: Tensor, positives: tuple[Tensor, Tensor]) -> Tensor:
    photos, classes = positives
    return photos * tensor.shape[1] + classes
