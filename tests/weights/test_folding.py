"""Folding of batch norms: the same logits, and nothing changed where a network can't be folded."""

import pytest
import torch
from torch import Tensor, nn

from sadcl.model.heads import HeadOutput
from sadcl.weights import folding
from tests.weights.small_models import KINDS, model

KIND = {name: {**kind, "two_layers": False} for name, kind in KINDS.items()}
NORMS = {"sarl, tokens": 0}


def randomise_norms(network: nn.Module) -> None:
    """Give the norms statistics and factors that matter, as training does."""
    generator = torch.Generator().manual_seed(0)
    for norm in (m for m in network.modules() if isinstance(m, nn.BatchNorm2d)):
        for tensor, low in ((norm.running_mean, -0.2), (norm.running_var, 0.5), (norm.weight, 0.5), (norm.bias, -0.2)):
            assert tensor is not None
            tensor.data.uniform_(low, low + 1, generator=generator)


@pytest.mark.parametrize("kind", KIND)
def test_logits_are_those_of_the_network(kind: str) -> None:
    tagger = model(**KIND[kind])
    side = tagger.head["preprocessing"]["side"]
    network, images = tagger.network, torch.rand(3, 3, side, side)
    randomise_norms(network)
    norms = sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    with torch.inference_mode():
        before = network(images).logits
        folded = folding.fold(network, side)
        after = network(images).logits
    assert folded == norms == sum(isinstance(m, nn.BatchNorm2d) for m in network.modules()) + folded
    assert (folded > 0) == (kind not in NORMS)
    torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-5)


class Toy(nn.Module):
    """A convolution and a norm.

    Args:
        reuse: add the convolution's output to the norm's.
        times: how often the norm is applied.
    """

    def __init__(self, reuse: bool = False, times: int = 1) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.reuse, self.times = reuse, times
        randomise_norms(self)

    def forward(self, images: Tensor) -> HeadOutput:
        maps = out = self.conv(images)
        for _ in range(self.times):
            out = self.norm(out)
        return HeadOutput((out + maps if self.reuse else out).mean((2, 3)))


@pytest.mark.parametrize(("toy", "folded"), [(Toy(), 1), (Toy(reuse=True), 0), (Toy(times=2), 0)])
def test_a_network_that_cannot_be_folded_stays_as_it_is(toy: Toy, folded: int) -> None:
    toy.eval()
    images = torch.rand(2, 3, 8, 8)
    before, modules = toy(images).logits, (toy.conv, toy.norm)
    assert folding.fold(toy, 8) == folded
    torch.testing.assert_close(toy(images).logits, before, rtol=1e-5, atol=1e-5)
    assert (modules == (toy.conv, toy.norm)) == (not folded)


def test_a_norm_that_learns_is_not_folded() -> None:
    toy = Toy().eval()
    toy.norm.train()
    assert folding.fold(toy, 8) == 0
