"""What every head gives."""

from typing import NamedTuple

from torch import Tensor


class HeadOutput(NamedTuple):
    """``logits`` [B, C]; ``features`` [B, C, D] and ``attention`` [B, C, h, w] where the head has them."""

    logits: Tensor
    features: Tensor | None = None
    attention: Tensor | None = None
