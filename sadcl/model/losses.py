"""Losses as pure functions of tensors: asymmetric, sample-to-sample, prototype-to-sample.

They follow the paper's formulas (method, section 3), not the released code's deviations. Everything is computed in
float32 or float64, also under autocast. Shapes: B images, C classes, E dimensions of an embedding, P activated entries.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

FLOOR = 1e-5
"""Lower bound of a probability inside a logarithm (method, section 3.6)."""


def asymmetric(
    logits: Tensor,
    targets: Tensor,
    gamma_negative: float,
    gamma_positive: float = 0.0,
    ignored: Tensor | None = None,
    margin: float = 0.0,
    count: Tensor | None = None,
) -> Tensor:
    """Asymmetric classification loss (method, section 3.6); with both powers 0, binary cross-entropy.

    l = -y ln(p) (1-p)^g+ - (1-y) ln(1-q) q^g- with q = max(p - m, 0), the mean over all entries that are not ignored.
    The focusing weight carries no gradient; a probability inside a logarithm is clamped to at least 1e-5 (no gradient
    below).

    Args:
        logits: [B, C].
        targets: [B, C], present or not.
        gamma_negative: focusing power of absent labels (g-), at least 0.
        gamma_positive: focusing power of present labels (g+), at least 0.
        ignored: [B, C], entries that are neither present nor absent and take no part.
        margin: m, from 0 to below 1: an absent label with a probability below it costs nothing (ASL's ``clip``).
        count: number of entries to divide by, where it isn't that of this tensor.

    Returns:
        A scalar; 0, with a graph, when every entry is ignored.
    """
    with _full_precision(logits):
        logits = _at_least_float32(logits)
        present = targets.bool()
        # p of a present label and 1 - p of an absent one are both sigmoids of the signed logit; logsigmoid is exact
        # where the sigmoid itself rounds to 0
        signed = torch.where(present, logits, -logits)
        # equation (7) of docs/explanation/method.md
        log_right = F.logsigmoid(signed).clamp(min=math.log(FLOOR))
        if margin:
            shifted = (torch.sigmoid(signed) + margin).clamp(max=1)
            log_right = torch.where(present, log_right, shifted.log())
        with torch.no_grad():
            wrong = torch.sigmoid(-signed)
            wrong = torch.where(present, wrong, (wrong - margin).clamp(min=0)) if margin else wrong
            gamma = torch.where(present, logits.new_full((), gamma_positive), logits.new_full((), gamma_negative))
            weight = wrong**gamma
        loss = -weight * log_right
        if ignored is None and count is None:
            return loss.mean()
        counted = torch.ones_like(present) if ignored is None else ~ignored.bool()
        total = counted.sum() if count is None else count
        # a mean over processes may lie between 0 and 1
        return (loss * counted).sum() / torch.where(total > 0, total, 1)


def sample_to_sample(embeddings: Tensor, classes: Tensor, temperature: float = 0.2, by_class: bool = False) -> Tensor:
    """Sample-to-sample loss: contrast activated features with one another (method, section 3.2).

    For an anchor r, with P_r the other entries of its class and A_r all other entries:
    -1/|P_r| sum_{p in P_r} log( exp(x_r x_p / t) / sum_{a in A_r} exp(x_r x_a / t) ), the mean over the
    anchors that have a positive, or over their classes. Memory use grows with P squared, never with (2BC) squared.

    Args:
        embeddings: [P, E], activated entries of batch and memory together; normalised inside.
        classes: [P], the class of each.
        temperature: t, above 0.
        by_class: the mean over the anchors of each class, then over the classes, so that a frequent class counts no
            more than a rare one (no part of the paper).

    Returns:
        A scalar; 0, with a graph, when no anchor has a positive.
    """
    with _full_precision(embeddings):
        x = F.normalize(_at_least_float32(embeddings), dim=1)
        if len(x) < 2:
            # 0 with a graph: backward and DDP need a gradient of every parameter, also for a batch without a pair
            return x.sum() * 0
        # equation (3) of docs/explanation/method.md; [P, P]
        similarities = x @ x.T / temperature
        positive = (classes[:, None] == classes).fill_diagonal_(False)
        count = positive.sum(1)
        # the mean over P_r of log(exp(s_rp) / sum) is the mean of s_rp less log(sum), so no [P, P] of ratios is kept
        others = similarities.masked_fill(torch.eye(len(x), dtype=torch.bool, device=x.device), -torch.inf)
        closeness = (similarities * positive).sum(1) / count.clamp(min=1)
        per_anchor = others.logsumexp(1) - closeness
        weights = (count > 0).to(x.dtype)
        if by_class:
            # every entry of its class is an anchor, too: the weights of a class add up to 1
            weights = weights / (count + 1)
        total = weights.sum()
        return (per_anchor * weights).sum() / torch.where(total > 0, total, 1)


def prototype_to_sample(
    embeddings: Tensor,
    prototypes: Tensor,
    targets: Tensor,
    temperature: float = 0.07,
    ignored: Tensor | None = None,
) -> Tensor:
    """Prototype-to-sample loss: contrast each class prototype with the features of its class (method, section 3.3).

    For a class j with positives: -log( sum_{i: y_ij = 1} exp(c_j x_ij / t) / sum_i exp(c_j x_ij / t) ); the
    sum over these classes, divided by the number of positives in the batch.

    Args:
        embeddings: [B, C, E], all entries, activated or not; normalised inside.
        prototypes: [C, E], projected; normalised inside.
        targets: [B, C].
        temperature: t, above 0.
        ignored: [B, C], entries left out of numerator and denominator.

    Returns:
        A scalar; 0, with a graph, when there is no positive.
    """
    with _full_precision(embeddings):
        x, c = (F.normalize(_at_least_float32(v), dim=-1) for v in (embeddings, prototypes))
        # equation (4) of docs/explanation/method.md; [B, C]
        similarities = torch.einsum("bce,ce->bc", x, c) / temperature
        counted = torch.ones_like(targets, dtype=torch.bool) if ignored is None else ~ignored.bool()
        positive = targets.bool() & counted
        none = ~positive.any(0)  # without positives both sums run over everything, for a loss of 0 without a gradient
        everyone = similarities.masked_fill(~(counted | none), -torch.inf).logsumexp(0)
        positives = similarities.masked_fill(~(positive | none), -torch.inf).logsumexp(0)
        return (everyone - positives).masked_fill(none, 0).sum() / positive.sum().clamp(min=1)


def _at_least_float32(value: Tensor) -> Tensor:
    # float64 stays: gradient checks and the oracles of the tests need it
    return value if value.dtype in (torch.float32, torch.float64) else value.float()


def _full_precision(value: Tensor) -> torch.autocast:
    return torch.autocast(value.device.type, enabled=False)
