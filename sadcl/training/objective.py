"""Training objectives: the loss of each stage."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from sadcl import params
from sadcl.data.shards.batches import Batch
from sadcl.model.dual_contrast import DualContrast
from sadcl.model.losses import asymmetric, prototype_to_sample, sample_to_sample
from sadcl.model.memory import Memory, activated
from sadcl.model.network import Network
from sadcl.training.distributed import Gather

Forward = Callable[..., Any]


class Objective(Protocol):
    """A module, its loss, and state outside the module.

    Attributes:
        module: that is trained.
        continues: whether the weights of an earlier stage are its start, so that their average keeps them.
    """

    module: nn.Module
    continues: bool

    def losses(self, forward: Forward, batch: Batch, epoch: float) -> dict[str, Tensor]:
        """Compute the parts of the loss by name (unweighted), and their weighted sum as ``loss``.

        Args:
            forward: the module as Fabric wraps it.
            batch: on the device.
            epoch: epochs since the start, with fraction.
        """
        ...

    def after_step(self) -> None:
        """Update state that depends on the step, after the backward pass and the optimiser."""

    def state(self) -> dict[str, Tensor]:
        """State outside the module that a resumed training needs."""
        ...

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Restore what ``state`` returned."""


class Classification:
    """Stage 1: the asymmetric loss on logits (method, section 3.6)."""

    continues = False

    def __init__(self, network: Network, settings: params.Pretrain, gather: Gather) -> None:
        self.module: nn.Module = network
        self.settings = settings
        self.gather = gather

    def losses(self, forward: Forward, batch: Batch, epoch: float) -> dict[str, Tensor]:
        del epoch
        loss = _classification(forward(batch.images).logits, batch, self.settings, self.gather)
        return {"loss": loss, "classification": loss}

    def after_step(self) -> None:
        pass

    def state(self) -> dict[str, Tensor]:
        return {}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        pass


class DualContrastive:
    """Stage 2: classification, sample-to-sample and prototype-to-sample (method, section 3).

    The memory changes only after the update, since the backward pass needs its old values.
    """

    continues = True

    def __init__(self, module: DualContrast, memory: Memory, settings: params.Train, gather: Gather) -> None:
        self.module: nn.Module = module
        self.memory = memory
        self.settings = settings
        self.gather = gather
        self._activated: tuple[Tensor, tuple[Tensor, Tensor], Tensor] | None = None

    def losses(self, forward: Forward, batch: Batch, epoch: float) -> dict[str, Tensor]:
        s, positives = self.settings, batch.positives
        # at first the contrast trains projector and prototypes alone: a random projector would pull at learnt features
        detach = epoch < s.projector_epochs
        stored, stored_classes = self.memory_entries(positives)
        # all in one call: DDP finds the parameters of a step, the projector's and prototypes too, by its forward pass
        out = forward(batch.images, stored, detach)
        # sigmoid in float32: in bfloat16 probabilities near the memory's threshold of 0.8 lie 0.004 apart
        scores = activated(out.logits.detach(), positives).float().sigmoid()
        self._activated = (activated(out.features.detach(), positives), positives, scores)

        classification = _classification(out.logits, batch, s, self.gather)
        # these compare photos with one another, so they need the global batch (equations (3) and (4)); the release
        # contrasts the photos of each device alone
        entries = torch.cat([activated(out.embeddings, positives), out.memory_embeddings])
        samples = self.compare_samples(entries, torch.cat([positives[1], stored_classes]), batch)
        # all entries, [B, C, E]: the negatives of equation (4) are the ones that are not activated
        embeddings, all_targets, all_ignored = self.gather.batch(out.embeddings, batch.targets, batch.ignored)
        prototypes = prototype_to_sample(
            embeddings, out.prototype_embeddings, all_targets, s.prototype_temperature, all_ignored
        )

        # linear warm-up: the contrast weighs little while embeddings are still random
        rise = min(1.0, epoch / s.contrast_warmup_epochs) if s.contrast_warmup_epochs else 1.0
        # method, equation (8)
        loss = classification + rise * (s.sample_to_sample * samples + s.prototype_to_sample * prototypes)
        return {
            "loss": loss,
            "classification": classification,
            "sample_to_sample": samples,
            "prototype_to_sample": prototypes,
        }

    def memory_entries(self, positives: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Select the memory's entries of a step: features [P, D] and their classes [P].

        They have the labels of the current photos at their positions (method, section 3.2), so they are of the same
        pairs (photo, class) as the batch.
        """
        return activated(self.memory.tensor, positives), positives[1]

    def compare_samples(self, entries: Tensor, classes: Tensor, batch: Batch) -> Tensor:
        """Compute the sample-to-sample loss over all processes.

        Args:
            entries: [P, E], embeddings of this process's activated pairs of the batch, then of the memory's.
            classes: [P], the class of each.
            batch: whose pairs they are.
        """
        gathered = self.gather.activated(entries, classes, [2 * count for count in batch.shares])
        by_class = self.settings.sample_anchors == "by_class"
        return sample_to_sample(*gathered, self.settings.sample_temperature, by_class)

    def after_step(self) -> None:
        if self._activated is not None:
            # method, equation (5)
            self.memory.update(*self._activated, self.settings.memory_threshold)
            self._activated = None

    def state(self) -> dict[str, Tensor]:
        # of the whole batch: another number of processes can go on from it
        return {"memory": self.gather.parts(self.memory.tensor)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.memory.restore(self.gather.own_part(state["memory"]))


def _classification(logits: Tensor, batch: Batch, settings: params.Pretrain, gather: Gather) -> Tensor:
    """Asymmetric loss of this process's photos (method, equation (7)), as its part of the global batch's mean."""
    counted = gather.mean_count(~batch.ignored)
    gammas, margin = (settings.gamma_negative, settings.gamma_positive), settings.probability_margin
    return asymmetric(logits, batch.targets, *gammas, batch.ignored, margin, counted)
