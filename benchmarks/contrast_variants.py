"""Variants of the contrastive losses that the comparison tries, for one process; none of them is in the package."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from sadcl.data.shards.batches import Batch
from sadcl.training.objective import DualContrastive, Forward

QUEUE = 8
"""Features that the queue of a class holds."""


class Shuffled(DualContrastive):
    """Both losses with the classes' names shuffled: features of class j take the labels of another class.

    To rename the classes of the contrast alone would change nothing, since the losses ask only which labels are equal.
    So what is shuffled is the assignment of features to labels: the feature of class r(j) is present where j is, and is
    compared with the prototype of r(j). The permutation r is drawn from the seed and leaves no class at its place.
    Number and co-occurrence of labels stay as they are, and so does the classification loss.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        # of a generator of its own, so that dropout draws the numbers that it draws for the method itself
        generator = torch.Generator().manual_seed(torch.initial_seed())
        self.roles = derangement(self.memory.tensor.shape[1], generator).to(self.memory.tensor.device)
        self.memory.tensor = self.memory.tensor[:, self.roles]

    def losses(self, forward: Forward, batch: Batch, epoch: float) -> dict[str, Tensor]:
        def shuffled(*arguments: Any) -> Any:
            out = forward(*arguments)
            return out._replace(
                features=out.features[:, self.roles],
                embeddings=out.embeddings[:, self.roles],
                prototype_embeddings=out.prototype_embeddings[self.roles],
            )

        return super().losses(shuffled, batch, epoch)


class ClassWeighted(DualContrastive):
    """Sample-to-sample with anchors weighted by class: each class of the batch counts once, as in mAP."""

    def compare_samples(self, entries: Tensor, classes: Tensor, batch: Batch) -> Tensor:
        del batch
        return supervised_contrast(entries, classes, self.settings.sample_temperature, by_class=True)


class OtherPhotos(DualContrastive):
    """Sample-to-sample in which labels of the same photo are no negatives of each other."""

    def compare_samples(self, entries: Tensor, classes: Tensor, batch: Batch) -> Tensor:
        photos = batch.positives[0]
        # the memory's features come from photos of earlier batches: each has a number of its own
        photos = torch.cat([photos, -1 - torch.arange(len(entries) - len(photos), device=photos.device)])
        same = photos[:, None] == photos
        return supervised_contrast(entries, classes, self.settings.sample_temperature, left_out=same)


class ClassQueue(DualContrastive):
    """A queue for each class instead of a slot for each position in the batch.

    Each class of the batch is compared with all features of its queue: the last confident ones, at first its prototype.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.queue = self.memory.tensor[:1].repeat(QUEUE, 1, 1)  # [QUEUE, C, D]
        self.stored = torch.zeros(self.queue.shape[1], dtype=torch.long)

    def memory_entries(self, positives: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        present = torch.nonzero(torch.bincount(positives[1])).flatten()
        return self.queue[:, present].flatten(0, 1), present.repeat(QUEUE)

    def after_step(self) -> None:
        if self._activated is None:
            return
        features, (_, classes), scores = self._activated
        self._activated = None
        for row in torch.nonzero(scores > self.settings.memory_threshold).flatten().tolist():
            j = int(classes[row])
            self.queue[self.stored[j] % QUEUE, j] = features[row]
            self.stored[j] += 1

    def state(self) -> dict[str, Tensor]:
        return {"queue": self.queue.clone(), "stored": self.stored.clone()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.queue.copy_(state["queue"])
        self.stored.copy_(state["stored"])


def supervised_contrast(
    entries: Tensor, classes: Tensor, temperature: float, left_out: Tensor | None = None, by_class: bool = False
) -> Tensor:
    """Compute the sample-to-sample loss (method, equation (3)) with other negatives or another mean over anchors.

    Args:
        entries: [P, E], normalised inside.
        classes: [P], the class of each.
        temperature: above 0.
        left_out: [P, P], pairs that are no negatives of each other; pairs of one class stay.
        by_class: the mean over the anchors of each class, then over these classes.

    Returns:
        A scalar; 0, with a graph, when no anchor has a positive.
    """
    x = F.normalize(entries.float(), dim=1)
    if len(x) < 2:
        return x.sum() * 0
    similarities = x @ x.T / temperature
    positive = (classes[:, None] == classes).fill_diagonal_(False)
    hidden = torch.eye(len(x), dtype=torch.bool, device=x.device)
    if left_out is not None:
        hidden = hidden | (left_out & ~positive)
    count = positive.sum(1)
    closeness = (similarities * positive).sum(1) / count.clamp(min=1)
    per_anchor = (similarities.masked_fill(hidden, -torch.inf).logsumexp(1) - closeness)[count > 0]
    if not len(per_anchor):
        return x.sum() * 0
    if not by_class:
        return per_anchor.mean()
    own = classes[count > 0]
    anchors = torch.bincount(own)  # of each class
    return (per_anchor / anchors[own]).sum() / (anchors > 0).sum()


def derangement(count: int, generator: torch.Generator) -> Tensor:
    """Draw a permutation [count] of one cycle, so that nothing stays at its place."""
    order = torch.randperm(count, generator=generator)
    permutation = torch.empty_like(order)
    permutation[order] = order.roll(1)
    return permutation


VARIANTS: Mapping[str, type[DualContrastive]] = {
    "shuffled": Shuffled, "class_weighted": ClassWeighted, "other_photos": OtherPhotos, "class_queue": ClassQueue,
}  # fmt: skip
"""By the name that a row of ``params.yaml`` has for them under ``contrast``."""
