"""Networks that tests of several packages need."""

import torch

from sadcl.model.heads import HeadOutput


class WithoutAttention(torch.nn.Module):
    """A network whose head has logits alone, as that of another project may."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor, attention: bool = False) -> HeadOutput:
        del attention
        return HeadOutput(self.network(images).logits)
