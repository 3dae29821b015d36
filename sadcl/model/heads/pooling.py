"""Global average pooling and a linear layer: the baseline."""

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
        """[B, channels, h, w] to logits [B, C]."""
        del attention
        return HeadOutput(self.linear(feature_map.mean((2, 3))))
