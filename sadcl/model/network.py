"""A backbone and a head."""

from torch import Tensor, nn

from sadcl import params
from sadcl.model import backbone, heads
from sadcl.model.heads import HeadOutput


class Network(nn.Module):
    """[B, 3, S, S] to ``HeadOutput``: what serving needs, and all of stage 1.

    Args:
        settings: section model.
        classes: C.
        start: load the backbone's starting weights.

    Raises:
        SadclError: a backbone, head or starting weights that can't be had.
    """

    def __init__(self, settings: params.Model, classes: int, start: bool = True) -> None:
        super().__init__()
        self.backbone = backbone.build(settings, start)
        self.head = heads.build(self.backbone.channels, classes, settings)

    def forward(self, images: Tensor, attention: bool = False) -> HeadOutput:
        """Logits, features and, if wanted, attention (what the head has of them).

        Args:
            images: [B, 3, S, S]; or the maps [B, channels, h, w] that the backbone made of them.
            attention: give it too.
        """
        maps = images if images.shape[1] == self.backbone.channels else self.backbone(images)
        out: HeadOutput = self.head(maps, attention)
        return out
