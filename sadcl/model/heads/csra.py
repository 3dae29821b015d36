"""CSRA, class-specific residual attention (Zhu and Wu, ICCV 2021, arXiv 2108.02456)."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sadcl import params
from sadcl.errors import SadclError
from sadcl.model.heads.base import HeadOutput

TEMPERATURES = {
    1: (1.0,),
    2: (1.0, math.inf),
    4: (1.0, 2.0, 4.0, math.inf),
    6: (1.0, 2.0, 3.0, 4.0, 5.0, math.inf),
    8: (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, math.inf),
}
"""Temperatures by number of attention heads; at infinity attention is the maximum over the positions."""


class CSRA(nn.Module):
    """Mean score over the positions plus ``residual`` times the attended score, summed over heads.

    Every head has its own classifier, whose class vectors have length 1 (paper, section 3).

    Raises:
        SadclError: the paper has no temperatures for this number of heads.
    """

    def __init__(self, channels: int, classes: int, settings: params.Model) -> None:
        super().__init__()
        if settings.heads not in TEMPERATURES:
            raise SadclError(
                f"CSRA has no temperatures for {settings.heads} heads",
                where="model.heads",
                fix=f"Choose one of {', '.join(map(str, TEMPERATURES))}",
            )
        self.residual, self.temperatures = settings.residual, TEMPERATURES[settings.heads]
        self.weight = nn.Parameter(torch.empty(settings.heads, classes, channels))
        nn.init.kaiming_uniform_(self.weight.view(-1, channels), a=5**0.5)

    def forward(self, feature_map: Tensor, attention: bool = False) -> HeadOutput:
        """[B, channels, h, w] to logits [B, C] and, on request, the first head's attention [B, C, h, w]."""
        h, w = feature_map.shape[-2:]
        scores = torch.einsum("kcd,bdn->kbcn", F.normalize(self.weight, dim=2), feature_map.flatten(2))
        attended = [
            score.amax(-1) if math.isinf(T) else (score * (score * T).softmax(-1)).sum(-1)
            for T, score in zip(self.temperatures, scores, strict=True)
        ]
        logits = (scores.mean(-1) + self.residual * torch.stack(attended)).sum(0)
        if not attention:
            return HeadOutput(logits)
        weights = scores[0].softmax(-1, dtype=torch.promote_types(scores.dtype, torch.float32))
        return HeadOutput(logits, attention=weights.reshape(*logits.shape, h, w))
