"""Exponential moving average (EMA) of weights, with its horizon in epochs."""

import copy

import torch
from torch import Tensor, nn


class EMA:
    """A copy of a module with the moving average of its parameters and floating buffers.

    The horizon is ``epochs * steps`` updates: decay = 1 - 1 / horizon (0.9998 on COCO is 3.9 epochs
    of 1,293 steps). The first n updates use a decay of at most (1 + n) / (10 + n): otherwise the average stays near
    its initial values on small data.

    Args:
        module: the trained module; its copy starts with equal values.
        epochs: horizon, in epochs.
        steps: updates an epoch.
    """

    def __init__(self, module: nn.Module, epochs: float, steps: int) -> None:
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        self.decay = 1 - 1 / max(epochs * steps, 1.0)
        self.updates = 0

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Move the average towards ``module``'s values; integer buffers (counters) are copied."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        averages, values = _tensors(self.module), _tensors(module)
        floating = [i for i, tensor in enumerate(averages) if tensor.is_floating_point()]
        # one call for all tensors: a call for each takes longer than the arithmetic
        torch._foreach_lerp_([averages[i] for i in floating], [values[i] for i in floating], 1 - decay)
        for i in set(range(len(averages))) - set(floating):
            averages[i].copy_(values[i])


def _tensors(module: nn.Module) -> list[Tensor]:
    return [tensor.detach() for tensor in (*module.parameters(), *module.buffers())]
