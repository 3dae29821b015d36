"""Exponential moving average (EMA) of weights, with its horizon in epochs."""

import copy

import torch
from torch import Tensor, nn


class EMA:
    """A copy of a module with the moving average of its parameters and floating buffers.

    The horizon H is ``epochs * steps`` updates: decay = 1 - 1 / H (0.9998 on COCO is 3.9 epochs of 1,293 steps).
    A training from a random head averages its first H values plainly, with the decay 1 - 1 / min(n + 1, H) at update
    n; otherwise the average would keep the random values on small data. A training that continues another one has
    the constant decay from its first update (method, section 4.1: stage 2's average contains stage 1's).

    Args:
        module: the trained module; its copy starts with equal values.
        epochs: horizon, in epochs.
        steps: updates an epoch.
        continues: whether ``module`` is trained already.
    """

    def __init__(self, module: nn.Module, epochs: float, steps: int, continues: bool = False) -> None:
        # the copy is scored and never trained: it keeps no dropout and no gradients
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        # a horizon below one update would make the decay negative
        self.horizon = max(epochs * steps, 1.0)
        self.continues = continues
        self.updates = 0

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Move the average towards ``module``'s values; integer buffers (counters) are copied."""
        self.updates += 1
        values_averaged = self.horizon if self.continues else min(self.updates + 1, self.horizon)
        # buffers too: running statistics of batch norms belong to the weights that they were measured with
        averages, values = _tensors(self.module), _tensors(module)
        floating = [i for i, tensor in enumerate(averages) if tensor.is_floating_point()]
        # one call for all tensors: a call for each takes longer than the arithmetic
        torch._foreach_lerp_([averages[i] for i in floating], [values[i] for i in floating], 1 / values_averaged)
        for i in set(range(len(averages))) - set(floating):
            averages[i].copy_(values[i])


def _tensors(module: nn.Module) -> list[Tensor]:
    return [tensor.detach() for tensor in (*module.parameters(), *module.buffers())]
