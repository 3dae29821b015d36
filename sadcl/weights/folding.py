"""Batch norms folded into the convolutions before them: the same logits with fewer passes over memory.

The pairs are found by a forward pass: a norm whose input is the very tensor that a convolution returned. The folded
network is then compared with the original, since a network may use that tensor once more in between.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

TOLERANCE = 1e-5
"""Largest difference of logits, relative to the largest logit where that exceeds 1."""


def fold(network: nn.Module, side: int) -> int:
    """Fold batch norms with fixed statistics into convolutions, in place; where logits would change, nothing changes.

    Args:
        network: in evaluation mode, from images [B, 3, S, S] to ``HeadOutput``; for inference alone afterwards.
        side: S, in pixels.

    Returns:
        Number of norms that were folded.
    """
    parameter = next(network.parameters(), None)
    if parameter is None:  # computed by another runtime, which folds by itself
        return 0
    # noise from a generator of its own: the caller's random numbers stay as they are
    noise = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    images = noise.to(parameter.device, parameter.dtype)
    with torch.no_grad():
        before, pairs = _pairs(network, images)
        originals = [_replace(network, conv, norm) for conv, norm in pairs]
        after: Tensor = network(images).logits
    limit = TOLERANCE * max(1.0, float(before.abs().max()))
    # written so that NaN counts as a difference
    if not float((after - before).abs().max()) <= limit:
        for name, module in (item for pair in originals for item in pair):
            network.set_submodule(name, module)
        return 0
    return len(pairs)


def _pairs(network: nn.Module, images: Tensor) -> tuple[Tensor, list[tuple[str, str]]]:
    """Logits, and the names of each convolution that runs once and of the norm of its output."""
    outputs: dict[int, tuple[str, Tensor]] = {}
    pairs: list[tuple[str, str]] = []
    calls: list[str] = []

    def record_pair(name: str, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        calls.append(name)
        if isinstance(module, nn.Conv2d):
            outputs[id(output)] = (name, output)  # the tensor too, so that its id is not used again
        elif id(inputs[0]) in outputs:
            pairs.append((outputs[id(inputs[0])][0], name))

    with _hooks(network, record_pair):
        logits: Tensor = network(images).logits
    return logits, [pair for pair in pairs if all(calls.count(name) == 1 for name in pair)]


@contextmanager
def _hooks(network: nn.Module, record_pair: Any) -> Iterator[None]:
    handles = [
        module.register_forward_hook(lambda m, i, o, name=name: record_pair(name, m, i, o))
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d) or _is_fixed(module)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _is_fixed(module: nn.Module) -> bool:
    """Whether a module is a batch norm that uses its running statistics."""
    return isinstance(module, nn.BatchNorm2d) and not module.training and module.running_mean is not None


def _replace(network: nn.Module, conv_name: str, norm_name: str) -> list[tuple[str, nn.Module]]:
    """Replace a convolution and its norm; return the originals by name."""
    conv: Any = network.get_submodule(conv_name)
    norm: Any = network.get_submodule(norm_name)
    folded = copy.copy(conv)  # padding and strides of any subclass stay
    folded._parameters = dict(conv._parameters)
    folded.weight, folded.bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
    network.set_submodule(conv_name, folded)
    network.set_submodule(norm_name, getattr(norm, "act", nn.Identity()))  # timm's norms have an activation inside
    return [(conv_name, conv), (norm_name, norm)]
