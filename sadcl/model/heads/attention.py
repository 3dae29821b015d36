"""Multi-head attention of the heads, with a cheaper form for queries that all photos share."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sadcl.errors import SadclError


class Attention(nn.Module):
    """Multi-head attention with one packed input projection, named as in ``nn.MultiheadAttention``.

    Raises:
        SadclError: the width is no multiple of the heads.
    """

    def __init__(self, D: int, heads: int, dropout: float) -> None:
        super().__init__()
        if D % heads:
            raise SadclError(
                f"The width {D} must be a multiple of the {heads} heads", where="model.width", fix="Change one"
            )
        self.heads, self.dropout = heads, dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * D, D))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * D))
        self.out_proj = nn.Linear(D, D)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, need_weights: bool = False) -> tuple[Tensor, Tensor | None]:
        """Attend: returns [B, n, D] and, with ``need_weights``, weights [B, n, m], the mean over heads.

        Args:
            q: [B, n, D]; or [1, n, D], projected once for the whole batch.
            k: [B, m, D].
            v: [B, m, D].
            need_weights: return the attention weights too.
        """
        if len(q) == 1 and not self._projection_is_cheaper(q.shape[1], k.shape[1]):
            return self._shared(q, k, v, need_weights)
        parts = zip((q, k, v), self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3), strict=True)
        q, k, v = (self._split(F.linear(x, W, b)) for x, W, b in parts)
        # [1, heads, n, D / heads] to [B, ...], without a copy; a q of B photos stays
        q = q.expand(len(k), -1, -1, -1)
        out = F.scaled_dot_product_attention(q, k, v, dropout_p=self._dropout)
        weights = None
        if need_weights:
            # scaled before the product, which could pass 65,504, where half precision ends
            weights = _softmax((q / math.sqrt(q.shape[-1])) @ k.transpose(-1, -2)).mean(1)
        return self.out_proj(out.transpose(1, 2).flatten(2)), weights

    def _projection_is_cheaper(self, n: int, m: int) -> bool:
        """Whether projecting K and V needs no more multiplications than ``_shared`` (n queries, m tokens a photo)."""
        D = self.out_proj.in_features
        return 2 * m * D * D + 2 * n * m * D <= self.heads * n * m * D * 2 + n * D * D

    def _shared(self, q: Tensor, k: Tensor, v: Tensor, need_weights: bool) -> tuple[Tensor, Tensor | None]:
        """Attend with queries that all photos share, by q (W_k k) = (q W_k) k and A (W_v v) = W_v (A v).

        The product with W_k is then computed once a batch, that with W_v once a query, and no token is projected. The
        key's bias adds the same to all similarities of a query, which the softmax cancels; the value's bias is added at
        the end, since weights sum to 1 (dropout then no longer acts on it).
        """
        B, n, D = len(k), q.shape[1], q.shape[2]
        (Wq, Wk, Wv), (bq, _, bv) = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
        width = D // self.heads
        # [heads, n, D]: the queries in the space of the tokens
        q = self._split(F.linear(q, Wq, bq))[0] @ Wk.view(self.heads, width, D) / math.sqrt(width)
        # [B, heads * n, m]
        weights = _softmax(q.flatten(0, 1) @ k.transpose(1, 2))
        mixed = F.dropout(weights, self._dropout).to(v.dtype) @ v
        # [heads, B * n, D]: one product a head instead of one a head and photo
        mixed = mixed.view(B, self.heads, n, D).transpose(0, 1).flatten(1, 2)
        out = (mixed @ Wv.view(self.heads, width, D).transpose(1, 2)).view(self.heads, B, n, width)
        out = self.out_proj(out.permute(1, 2, 0, 3).flatten(2) + bv)
        return out, weights.view(B, self.heads, n, -1).mean(1) if need_weights else None

    @property
    def _dropout(self) -> float:
        return self.dropout if self.training else 0.0

    def _split(self, x: Tensor) -> Tensor:
        """[B, n, D] to [B, heads, n, D / heads]."""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)


def _softmax(similarities: Tensor) -> Tensor:
    """Softmax over the last axis, in float32 or float64."""
    return similarities.softmax(-1, dtype=torch.promote_types(similarities.dtype, torch.float32))
