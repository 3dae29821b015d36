"""Averaging of features into class prototypes (method, section 3.5)."""

from collections.abc import Iterable

import torch
from torch import Tensor


def prototypes(
    batches: Iterable[tuple[Tensor, Tensor, Tensor]], classes: int, width: int, threshold: float, rule: str
) -> tuple[Tensor, Tensor]:
    """Average the features of each class over photos that show it and are scored above ``threshold``.

    Args:
        batches: features [B, C, D], scores [B, C], targets [B, C] bool.
        classes: C.
        width: D.
        threshold: probability in 0 to 1; 0.85 in the paper's recipes.
        rule: ``mean`` averages over the confident photos, and over all positives where there is none; ``released``
            divides by all positives, as the released code does, so that hard classes have short prototypes.

    Returns:
        Prototypes [C, D] in float32 (zeros for a class without positives), and how many photos each averages [C].
    """
    # float64: a sum over many photos loses digits in float32
    confident, all_positives = (torch.zeros(classes, width, dtype=torch.float64) for _ in range(2))
    confident_count, count = (torch.zeros(classes, dtype=torch.int64) for _ in range(2))
    for features, scores, targets in batches:
        chosen = targets & (scores > threshold)
        confident += torch.einsum("bcd,bc->cd", features.double(), chosen.double())
        all_positives += torch.einsum("bcd,bc->cd", features.double(), targets.double())
        confident_count += chosen.sum(0)
        count += targets.sum(0)
    if rule == "released":
        return (confident / count.clamp(min=1)[:, None]).float(), confident_count
    none = (confident_count == 0)[:, None]
    total, photos = torch.where(none, all_positives, confident), torch.where(none[:, 0], count, confident_count)
    return (total / photos.clamp(min=1)[:, None]).float(), photos
