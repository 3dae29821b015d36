"""Optimiser, learning-rate schedule and early stopping (method, section 4.1)."""

from collections.abc import Mapping, Sequence
from math import isclose

from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR

from sadcl import params


def optimiser(module: nn.Module, settings: params.Pretrain, steps: int) -> tuple[AdamW, OneCycleLR]:
    """Create AdamW over all trainable parameters, and its one-cycle schedule of ``epochs * steps`` updates.

    The rate starts at a 25th of its peak, reaches it after ``warmup``, and falls by a cosine to a
    10,000th of its start (2e-6, 5e-5, 2e-10 in the paper's runs); beta1 moves against it, 0.95 to 0.85
    and back. Weight decay acts on all parameters, biases and norms included.

    Args:
        module: names of its backbone's parameters contain ``backbone.``.
        settings: section pretrain or train.
        steps: updates an epoch.
    """
    learning = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    backbone = [p for name, p in learning if "backbone." in name]
    others = [p for name, p in learning if "backbone." not in name]
    groups = [(backbone, settings.lr * settings.backbone_lr), (others, settings.lr)]
    groups = [(group, rate) for group, rate in groups if group]
    adamw = AdamW(
        [{"params": group, "lr": rate} for group, rate in groups],
        weight_decay=settings.weight_decay,
        fused=True,
    )
    total = max(settings.epochs * steps, 2)
    # torch divides by the warm-up's length less one step; a warm-up of one step, slightly longer, gives the same cycle
    warmup = settings.warmup * (1 + 1e-6) if isclose(settings.warmup * total, 1) else settings.warmup
    cycle = OneCycleLR(adamw, max_lr=[rate for _, rate in groups], total_steps=total, pct_start=warmup)
    return adamw, cycle


def should_stop(history: Sequence[Mapping[str, float]], patience: int | None) -> bool:
    """Whether early stopping ends the training (method, section 4.1).

    It does when more than ``patience`` epochs have passed since the best score and since the best raw score, and the
    averaged weights score below their best.

    Args:
        history: a row for each epoch, with ``select_mAP``, ``select_mAP_raw`` and ``select_mAP_ema`` in percent.
        patience: in epochs; None never stops.
    """
    if patience is None or not history:
        return False
    raw = [row["select_mAP_raw"] for row in history]
    averaged = [row["select_mAP_ema"] for row in history]
    best = [row["select_mAP"] for row in history]
    later = max(best.index(max(best)), raw.index(max(raw)))
    return len(history) - 1 - later > patience and averaged[-1] < max(averaged)
