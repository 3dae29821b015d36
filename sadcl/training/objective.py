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
    """A module, its loss, and state outside the module."""

    module: nn.Module

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

    def __init__(self, network: Network, settings: params.Pretrain) -> None:
        self.module: nn.Module = network
        self.settings = settings

    def losses(self, forward: Forward, batch: Batch, epoch: float) -> dict[str, Tensor]:
        del epoch
        logits, s = forward(batch.images).logits, self.settings
        loss = asymmetric(logits, batch.targets, s.gamma_negative, s.gamma_positive, batch.ignored)
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
        out = forward(batch.images, activated(self.memory.tensor, positives), detach)
        scores = activated(out.logits.detach(), positives).float().sigmoid()
        self._activated = (activated(out.features.detach(), positives), positives, scores)

        classification = asymmetric(out.logits, batch.targets, s.gamma_negative, s.gamma_positive, batch.ignored)
        # entries of the memory have the labels of the current photos at their positions (method, section 3.2), so they
        # activate the same pairs (photo, class) as the batch
        entries = torch.cat([activated(out.embeddings, positives), out.memory_embeddings])
        gathered = self.gather.activated(entries, positives[1].repeat(2), [2 * count for count in batch.shares])
        samples = sample_to_sample(*gathered, s.sample_temperature)
        embeddings, all_targets, all_ignored = self.gather.batch(out.embeddings, batch.targets, batch.ignored)
        prototypes = prototype_to_sample(
            embeddings, out.prototype_embeddings, all_targets, s.prototype_temperature, all_ignored
        )

        # linear warm-up: the contrast weighs little while embeddings are still random
        rise = min(1.0, epoch / s.contrast_warmup_epochs) if s.contrast_warmup_epochs else 1.0
        loss = classification + rise * (s.sample_to_sample * samples + s.prototype_to_sample * prototypes)
        return {
            "loss": loss,
            "classification": classification,
            "sample_to_sample": samples,
            "prototype_to_sample": prototypes,
        }

    def after_step(self) -> None:
        if self._activated is not None:
            self.memory.update(*self._activated, self.settings.memory_threshold)
            self._activated = None

    def state(self) -> dict[str, Tensor]:
        return {"memory": self.memory.tensor}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.memory.tensor.copy_(state["memory"])
