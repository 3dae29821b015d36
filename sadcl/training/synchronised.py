"""Batch norms that share their statistics: those of the global batch, not of each rank's part."""

from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def synchronise(module: nn.Module) -> None:
    """Let the batch norms of a module use the statistics of all ranks in training; names and values stay.

    torch's own ``SyncBatchNorm`` works on GPUs alone.
    """
    for norm in module.modules():
        if isinstance(norm, _BatchNorm) and norm.affine:
            norm.forward = partial(_forward, norm, norm.forward)  # type: ignore[method-assign]


def _forward(norm: Any, alone: Any, x: Tensor) -> Tensor:
    if not norm.training:  # a frozen one, or evaluation
        evaluated: Tensor = alone(x)
        return evaluated
    normalised, mean, variance = _Normalise.apply(x, norm.weight, norm.bias, norm.eps)  # type: ignore[no-untyped-call]
    if norm.track_running_stats:
        norm.num_batches_tracked.add_(1)
        weight = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
        count = x.numel() // x.shape[1] * dist.get_world_size()
        norm.running_mean.lerp_(mean.to(norm.running_mean), weight)
        norm.running_var.lerp_((variance * count / max(count - 1, 1)).to(norm.running_var), weight)
    for name in ("drop", "act"):  # timm's norms contain their activation
        if hasattr(norm, name):
            normalised = getattr(norm, name)(normalised)
    return normalised  # type: ignore[no-any-return]


class _Normalise(torch.autograd.Function):
    """Normalisation by the mean and variance over all ranks, which have parts of one size.

    x [B, C, ...]; returns it normalised, and mean and biased variance [C].
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        dims = [d for d in range(x.dim()) if d != 1]
        variance, mean = torch.var_mean(x if x.dtype == torch.float64 else x.float(), dims, correction=0)
        means = _mean_of_ranks(mean)
        # the variance of all is the mean variance of the parts, and the variance of their means
        variances = _mean_of_ranks(variance + (mean - means) ** 2)
        inverse = (variances + eps).rsqrt()
        ctx.save_for_backward(x, weight, means, inverse)
        ctx.mark_non_differentiable(means, variances)
        normalised = nn.functional.batch_norm(x, means, variances, weight, bias, eps=eps)
        return normalised, means, variances

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, mean, inverse = ctx.saved_tensors
        shape = [1, -1] + [1] * (x.dim() - 2)
        dims = [d for d in range(x.dim()) if d != 1]
        upstream = gradient.to(mean)
        normalised = (x.to(mean) - mean.view(shape)) * inverse.view(shape)
        # of this rank: DDP averages the gradients of parameters
        of_bias, of_weight = upstream.sum(dims), (upstream * normalised).sum(dims)
        count = x.numel() // x.shape[1]
        mean_gradient, mean_product = (_mean_of_ranks(torch.stack([of_bias, of_weight])) / count).unbind()
        centred = upstream - mean_gradient.view(shape) - normalised * mean_product.view(shape)
        of_x = centred * (weight * inverse).view(shape)
        return of_x.to(x), of_weight.to(weight), of_bias.to(weight), None


def _mean_of_ranks(values: Tensor) -> Tensor:
    total = values.clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()
