"""Output of every head."""

from typing import NamedTuple

from torch import Tensor


class HeadOutput(NamedTuple):
    """Logits [B, C], and label-level features [B, C, D] and attention [B, C, h, w] where the head has them."""

    logits: Tensor
    features: Tensor | None = None
    attention: Tensor | None = None
