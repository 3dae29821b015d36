"""Optimiser, learning-rate schedule and early stopping (method, section 4.1)."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from math import isclose
from typing import Any

from torch import nn
from torch.optim.lr_scheduler import OneCycleLR

from sadcl import params
from sadcl.errors import SadclError
from sadcl.training.optimisers import AdamW


def optimiser(module: nn.Module, settings: params.Pretrain, steps: int) -> tuple[AdamW, OneCycleLR]:
    """Create AdamW over all trainable parameters, and its one-cycle schedule of ``epochs * steps`` updates.

    The rate starts at a 25th of its peak, reaches it after ``warmup``, and falls by a cosine to a
    10,000th of its start (2e-6, 5e-5, 2e-10 in the paper's runs); beta1 moves against it, 0.95 to 0.85
    and back.

    Args:
        module: names of its backbone's parameters contain ``backbone.``.
        settings: section pretrain or train.
        steps: updates an epoch.
    """
    groups = _groups(module, settings)
    # fused: a third of the time on a CPU, and the only form that can skip an update on the device (`NonFiniteGuard`)
    adamw = AdamW(groups, weight_decay=settings.weight_decay, fused=True)
    total = max(settings.epochs * steps, 2)
    # torch divides by the warm-up's length less one step; a warm-up of one step, slightly longer, gives the same cycle
    warmup = settings.warmup * (1 + 1e-6) if isclose(settings.warmup * total, 1) else settings.warmup
    # torch's defaults are the paper's: a start of 1/25, an end of 1/10,000 of that, beta1 from 0.95 to 0.85 and back
    cycle = OneCycleLR(adamw, max_lr=[group["lr"] for group in groups], total_steps=total, pct_start=warmup)
    return adamw, cycle


def _groups(module: nn.Module, settings: params.Pretrain) -> list[dict[str, Any]]:
    """Parameters with their learning rate and weight decay; the last group is the head's."""
    # in stage 2 `network.` comes before `backbone.`
    learning = {name: p for name, p in module.named_parameters() if p.requires_grad}
    scales = _layer_scales(module, settings.layer_decay)
    spared: set[str] = set() if settings.decay_norms else _spared(module, learning)
    groups: dict[tuple[bool, float, bool], list[nn.Parameter]] = {}
    for name, parameter in learning.items():
        is_head = "backbone." not in name
        groups.setdefault((is_head, scales.get(name, 1.0), name not in spared), []).append(parameter)
    rates = {False: settings.lr * settings.backbone_lr, True: settings.lr}
    return [
        {
            "params": parameters,
            "lr": rates[is_head] * scale,
            "weight_decay": settings.weight_decay if decays else 0.0,
        }
        # layers from the first to the last, then the head: a frozen backbone has no group
        for (is_head, scale, decays), parameters in sorted(groups.items(), key=lambda group: group[0])
    ]


def _layer_scales(module: nn.Module, decay: float) -> dict[str, float]:
    """Learning rate of each parameter of the backbone, relative to that of its last layer, by timm's order of layers.

    A layer is a block; what comes before the first is a layer too, and what comes after the last belongs to it.
    """
    if decay == 1:
        return {}
    from timm.models import group_parameters

    prefix, body = _body(module)
    if not hasattr(body, "group_matcher"):
        problem = f"timm knows no layers of {type(body).__name__}"
        raise SadclError(problem, where="layer_decay", fix="Set it to 1, or choose another backbone")
    layers = group_parameters(body, body.group_matcher(coarse=False), reverse=True)
    last = max(layers.values())
    return {prefix + name: decay ** (last - layer) for name, layer in layers.items()}


def _spared(module: nn.Module, learning: Mapping[str, nn.Parameter]) -> set[str]:
    """Names of parameters without weight decay: norms, biases, and what timm names (position embeddings, tokens)."""
    prefix, body = _body(module)
    patterns = [prefix + name for name in getattr(body, "no_weight_decay", tuple)()]
    return {name for name, p in learning.items() if p.dim() <= 1 or any(fnmatch(name, each) for each in patterns)}


def _body(module: nn.Module) -> tuple[str, Any]:
    """timm's network inside a module, after the prefix of its parameters' names."""
    name, body = next((name, child) for name, child in module.named_modules() if name.endswith("backbone.body"))
    return f"{name}.", body


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
    # the average follows the raw weights with a delay: while it still rises, waiting pays
    return len(history) - 1 - later > patience and averaged[-1] < max(averaged)
