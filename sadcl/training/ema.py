"""Exponential moving average of weights, with its horizon in epochs."""

import copy

import torch
from torch import Tensor, nn


class EMA:
    """A copy of a module whose parameters and floating buffers follow the trained ones slowly.

    The horizon is ``epochs * steps`` updates: decay = 1 - 1 / horizon (0.9998 on COCO is 3.9 epochs
    of 1,293 steps). While fewer updates than that have happened, the decay is (1 + n) / (10 + n), so that
    on small data the average leaves its start.
    """

    def __init__(self, module: nn.Module, epochs: float, steps: int) -> None:
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        self.decay = 1 - 1 / max(epochs * steps, 1.0)
        self.updates = 0

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Move towards ``module``; whole numbers (counters) are copied."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        ours, theirs = _tensors(self.module), _tensors(module)
        floating = [i for i, tensor in enumerate(ours) if tensor.is_floating_point()]
        torch._foreach_lerp_([ours[i] for i in floating], [theirs[i] for i in floating], 1 - decay)
        for i in set(range(len(ours))) - set(floating):
            ours[i].copy_(theirs[i])


def _tensors(module: nn.Module) -> list[Tensor]:
    return [tensor.detach() for tensor in (*module.parameters(), *module.buffers())]
