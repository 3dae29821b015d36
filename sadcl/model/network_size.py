"""Size of a network and memory of its training, computed from the settings in shapes alone: nothing is allocated."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sadcl import params

STATE = 20
"""Bytes in training for each parameter that learns: itself, its gradient, both of Adam's moments, its average."""
STILL = 8
"""Bytes for each other parameter: itself and its average."""


@dataclass(frozen=True)
class NetworkSize:
    """Figures of a network.

    Attributes:
        parameters: of the network in use.
        learning: those of them that stage 1 trains.
        multiply_adds: of one photo in use, without those of activations and norms.
        activations: bytes that a training step keeps for each photo, in float32.
    """

    parameters: int
    learning: int
    multiply_adds: int
    activations: int

    def training_bytes(self, batch: int, precision: str) -> int:
        """Estimate the memory of training; libraries and temporary values come on top."""
        states = STATE * self.learning + STILL * (self.parameters - self.learning)
        # mixed precision keeps most activations in 16 bits, and a copy of the weights
        mixed = precision.endswith("-mixed")
        step = batch * self.activations * (0.5 if mixed else 2 if precision.startswith("64") else 1)
        return int(states + step + (2 * self.parameters if mixed else 0))


def network_size(settings: params.Model, classes: int) -> NetworkSize:
    """Compute the size of the network that the settings describe.

    Args:
        settings: section model; no weights are read.
        classes: C.

    Raises:
        SadclError: the settings describe no network.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from sadcl.model.network import Network
    from sadcl.model.shapes import shapes_only

    side, test_side = settings.side, settings.for_test().side
    counter: Any = FlopCounterMode(display=False)
    with shapes_only():
        network = Network(settings, classes, start=False)
    with torch.device("meta"):
        with counter, torch.no_grad():
            network.eval()(torch.empty(1, 3, test_side, test_side))
        own = {parameter.untyped_storage()._cdata for parameter in network.parameters()}
        if settings.is_linear_probe:  # it is fitted on pooled features: no step keeps anything
            network.requires_grad_(False)
        with _saved_bytes(own) as saved:
            # two photos: some norms refuse a single value in training
            out = network.train()(torch.empty(2, 3, side, side))
    del out
    return NetworkSize(
        parameters=sum(p.numel() for p in network.parameters()),
        learning=sum(p.numel() for p in network.parameters() if p.requires_grad),
        multiply_adds=counter.get_total_flops() // 2,
        activations=sum(saved.values()) // 2,
    )


@contextmanager
def _saved_bytes(own: set[int]) -> Iterator[dict[int, int]]:
    """Collect the bytes of all tensors that the forward pass keeps for the backward pass, parameters aside."""
    import torch

    saved: dict[int, int] = {}
    held: list[torch.Tensor] = []  # a storage that is freed gives its address to the next one

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            saved[storage._cdata] = storage.nbytes()
            held.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield saved
