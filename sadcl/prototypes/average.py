"""Class prototypes (method, section 3.5)."""

from collections.abc import Iterable

import torch
from torch import Tensor


def prototypes(
    batches: Iterable[tuple[Tensor, Tensor, Tensor]], classes: int, width: int, threshold: float, rule: str
) -> tuple[Tensor, Tensor]:
    """One vector a class, from the features of photos that show it and are scored above ``threshold``.

    Args:
        batches: features [B, C, D], scores [B, C], targets [B, C] bool.
        classes: C.
        width: D.
        threshold: 0.85 in the paper's recipes.
        rule: ``mean`` over the photos that count, of all positives where none does; ``released`` divides
            by all positives, so that hard classes have short prototypes.

    Returns:
        Prototypes [C, D] in float32 (zeros for a class without positives), and how many photos each
        stands on [C].
    """
    confident, everyone = (torch.zeros(classes, width, dtype=torch.float64) for _ in range(2))
    confident_count, count = (torch.zeros(classes, dtype=torch.int64) for _ in range(2))
    for features, scores, targets in batches:
        chosen = targets & (scores > threshold)
        confident += torch.einsum("bcd,bc->cd", features.double(), chosen.double())
        everyone += torch.einsum("bcd,bc->cd", features.double(), targets.double())
        confident_count += chosen.sum(0)
        count += targets.sum(0)
    if rule == "released":
        return (confident / count.clamp(min=1)[:, None]).float(), confident_count
    none = (confident_count == 0)[:, None]
    total, stands_on = torch.where(none, everyone, confident), torch.where(none[:, 0], count, confident_count)
    return (total / stands_on.clamp(min=1)[:, None]).float(), stands_on
