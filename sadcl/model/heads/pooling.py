"""Global average pooling and a linear layer: the heads ``pooling`` (trained) and ``linear`` (fitted)."""

import torch
from torch import Tensor, nn

from sadcl import params
from sadcl.model.heads.base import HeadOutput


class Pooling(nn.Module):
    """Mean over the positions, then a linear classifier."""

    def __init__(self, channels: int, classes: int, settings: params.Model) -> None:
        super().__init__()
        del settings
        self.linear = nn.Linear(channels, classes)

    def forward(self, feature_map: Tensor, attention: bool = False) -> HeadOutput:
        """[B, channels, h, w] to logits [B, C] and, on request, class activation maps [B, C, h, w] that sum to 1."""
        logits = self.linear(feature_map.mean((2, 3)))
        return HeadOutput(logits, attention=self._activation_maps(feature_map) if attention else None)

    def _activation_maps(self, feature_map: Tensor) -> Tensor:
        """Positive parts of what each position adds to a logit (Zhou et al. 2016); even where there are none."""
        maps = torch.einsum("bkhw,ck->bchw", feature_map, self.linear.weight).clamp(min=0)
        # sums of half precision would not be 1
        maps = maps.to(torch.promote_types(maps.dtype, torch.float32))
        total = maps.sum((2, 3), keepdim=True)
        return torch.where(total > 0, maps / total.clamp(min=1e-12), maps.new_full((), 1 / maps[0, 0].numel()))
