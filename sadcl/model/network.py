"""The network: a backbone and a head."""

from torch import Tensor, nn

from sadcl import params
from sadcl.model import backbone, heads
from sadcl.model.heads import HeadOutput


class Network(nn.Module):
    """Backbone and head, from images [B, 3, S, S] to ``HeadOutput``: all of stage 1, and all that prediction needs.

    Args:
        settings: section model.
        classes: C.
        start: load the backbone's starting weights.

    Raises:
        SadclError: the backbone, the head or the starting weights are unknown or can't be loaded.
    """

    def __init__(self, settings: params.Model, classes: int, start: bool = True) -> None:
        super().__init__()
        self.backbone = backbone.build(settings, start)
        self.head = heads.build(self.backbone.channels, classes, settings)

    def forward(self, images: Tensor, attention: bool = False) -> HeadOutput:
        """Compute logits, and features and attention where the head has them.

        Args:
            images: [B, 3, S, S]; or feature maps [B, channels, h, w], which skip the backbone.
            attention: return attention weights too, where the head has them.
        """
        maps = images if images.shape[1] == self.backbone.channels else self.backbone(images)
        out: HeadOutput = self.head(maps, attention)
        return out
