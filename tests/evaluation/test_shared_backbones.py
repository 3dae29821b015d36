"""Networks on the same images: the logits of each are those that it gives alone, and equal backbones run once."""

from copy import deepcopy

import numpy as np
import torch
from torch import nn

from sadcl.evaluation.shared_backbones import SharedBackbones
from sadcl.model.network import Network
from tests.model.test_network import SMALL


def build(seed: int, backbone: Network | None = None, **settings: object) -> Network:
    torch.manual_seed(seed)
    network = Network(SMALL.model_copy(update=settings), 5, start=False).eval()
    if backbone is not None:
        network.backbone.load_state_dict(backbone.backbone.state_dict())
    return network


def calls(network: Network) -> list[None]:
    """One entry for each call of its backbone, from now on."""
    seen: list[None] = []
    network.backbone.register_forward_hook(lambda *_: seen.append(None))
    return seen


def test_equal_backbones_run_once_and_change_no_bit() -> None:
    first = build(0)
    networks = [first, build(1), build(2, first, head="pooling"), build(3, first), first]
    images = torch.randn(3, 3, 32, 32, generator=torch.manual_seed(4))
    with torch.inference_mode():
        expected = [network(images).logits.numpy() for network in networks]
    counted = [calls(network) for network in networks[:4]]
    logits = SharedBackbones(networks).logits(images)
    for values, alone in zip(logits, expected, strict=True):
        np.testing.assert_array_equal(values, alone)
    assert [len(seen) for seen in counted] == [1, 1, 0, 0]


def test_backbones_that_differ_in_one_tensor_or_in_their_structure_are_not_shared() -> None:
    first = build(0)
    changed = deepcopy(first)
    next(changed.backbone.parameters()).data.view(-1)[0] += 1e-3
    running = deepcopy(first)
    next(module for module in running.modules() if isinstance(module, nn.BatchNorm2d)).running_mean[0] += 1
    dilated = build(0, first, output_stride=16)
    assert SharedBackbones([first, changed, running, dilated]).groups == [[0], [1], [2], [3]]
