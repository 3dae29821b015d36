"""Several networks on the same images: backbones that are equal compute their maps once."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sadcl.model.network import Network
from sadcl.model.tagger import Floats


class SharedBackbones:
    """Networks in evaluation mode, grouped by their backbones.

    Args:
        networks: ``Network``, or any module that gives an output with logits; these share nothing.
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        self.networks = networks
        self.groups: list[list[int]] = []
        for number, network in enumerate(networks):
            group = next((known for known in self.groups if _have_equal_backbones(networks[known[0]], network)), None)
            if group is None:
                self.groups.append([number])
            else:
                group.append(number)

    def logits(self, images: Tensor) -> list[Floats]:
        """Compute the logits of each network, float32 [B, C], from images [B, 3, S, S]; the bits of a single one."""
        logits: dict[int, Floats] = {}
        with torch.inference_mode():
            for group in self.groups:
                first = self.networks[group[0]]
                own = next((parameter.dtype for parameter in first.parameters()), images.dtype)
                inputs = images.to(own)
                if len(group) > 1 and isinstance(first, Network):
                    inputs = first.backbone(inputs)  # a network takes maps in place of images
                for number in group:
                    logits[number] = self.networks[number](inputs).logits.float().cpu().numpy()
        return [logits[number] for number in range(len(self.networks))]


def _have_equal_backbones(a: nn.Module, b: nn.Module) -> bool:
    """Whether two networks have backbones of one structure with equal tensors."""
    if a is b:
        return True
    if not (isinstance(a, Network) and isinstance(b, Network)) or a.backbone.structure != b.backbone.structure:
        return False
    tensors, others = a.backbone.state_dict(), b.backbone.state_dict()
    return tensors.keys() == others.keys() and all(
        tensor.dtype == others[name].dtype and torch.equal(tensor, others[name]) for name, tensor in tensors.items()
    )
