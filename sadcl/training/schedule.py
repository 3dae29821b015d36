"""Optimiser, learning rate, and when to stop (method, section 4.1)."""

from collections.abc import Mapping, Sequence
from math import isclose

from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR

from sadcl import params


def optimiser(module: nn.Module, settings: params.Pretrain, steps: int) -> tuple[AdamW, OneCycleLR]:
    """AdamW over everything that learns, under one cycle for ``epochs * steps`` updates.

    The rate starts at a 25th of its peak, reaches it after ``warmup``, and falls by a cosine to a
    10,000th of its start (2e-6, 5e-5, 2e-10 in the paper's runs); beta1 moves against it, 0.95 to 0.85
    and back. Weight decay acts on everything.
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
    # torch divides by the length of the warm-up less one step; where that is nothing, a hair more is the same cycle
    warmup = settings.warmup * (1 + 1e-6) if isclose(settings.warmup * total, 1) else settings.warmup
    cycle = OneCycleLR(adamw, max_lr=[rate for _, rate in groups], total_steps=total, pct_start=warmup)
    return adamw, cycle


def should_stop(history: Sequence[Mapping[str, float]], patience: int | None) -> bool:
    """Whether training has run past its best (method, section 4.1).

    It has when more than ``patience`` epochs have gone since both the best score and the best raw score,
    and the moving average has begun to fall.
    """
    if patience is None or not history:
        return False
    raw = [row["select_mAP_raw"] for row in history]
    averaged = [row["select_mAP_ema"] for row in history]
    best = [row["select_mAP"] for row in history]
    later = max(best.index(max(best)), raw.index(max(raw)))
    return len(history) - 1 - later > patience and averaged[-1] < max(averaged)
