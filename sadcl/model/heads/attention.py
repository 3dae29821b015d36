"""Multi-head attention of the heads, with queries that may be the same for every photo."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Multi-head attention with one packed input projection."""

    def __init__(self, D: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * D, D))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * D))
        self.out_proj = nn.Linear(D, D)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, wanted: bool = False) -> tuple[Tensor, Tensor | None]:
        """q, k and v to [B, n, D] and, if wanted, weights [B, n, m], mean over heads.

        Args:
            q: [B, n, D]; or [1, n, D], projected once for the whole batch.
            k, v: [B, m, D].
            wanted: give the weights too.
        """
        if len(q) == 1 and self._cheaper_shared(q.shape[1], k.shape[1]):
            return self._shared(q, k, v, wanted)
        parts = zip((q, k, v), self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3), strict=True)
        q, k, v = (self._split(F.linear(x, W, b)) for x, W, b in parts)
        q = q.expand(len(k), -1, -1, -1)
        out = F.scaled_dot_product_attention(q, k, v, dropout_p=self._dropout)
        weights = None
        if wanted:
            # scaled before the product: half precision ends at 65,504
            weights = _softmax((q / math.sqrt(q.shape[-1])) @ k.transpose(-1, -2)).mean(1)
        return self.out_proj(out.transpose(1, 2).flatten(2)), weights

    def _cheaper_shared(self, n: int, m: int) -> bool:
        """Multiplications a photo: K and V projected and heads apart, against the widened queries of ``_shared``."""
        D = self.out_proj.in_features
        return self.heads * n * m * D * 2 + n * D * D < 2 * m * D * D + 2 * n * m * D

    def _shared(self, q: Tensor, k: Tensor, v: Tensor, wanted: bool) -> tuple[Tensor, Tensor | None]:
        """The same for queries that all photos share: q (W_k k) = (q W_k) k, and A (W_v v) = W_v (A v).

        The products with W_k then cost once a batch, those with W_v once a query, and no token is projected. A key's
        bias adds the same to all similarities of a query and so does nothing; a value's passes by dropout.
        """
        B, n, D = len(k), q.shape[1], q.shape[2]
        (Wq, Wk, Wv), (bq, _, bv) = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
        each = D // self.heads
        q = self._split(F.linear(q, Wq, bq))[0] @ Wk.view(self.heads, each, D) / math.sqrt(each)
        weights = _softmax(q.flatten(0, 1) @ k.transpose(1, 2))
        seen = F.dropout(weights, self._dropout).to(v.dtype) @ v
        seen = seen.view(B, self.heads, n, D).transpose(0, 1).flatten(1, 2)  # one product a head, not one a photo too
        out = (seen @ Wv.view(self.heads, each, D).transpose(1, 2)).view(self.heads, B, n, each)
        out = self.out_proj(out.permute(1, 2, 0, 3).flatten(2) + bv)
        return out, weights.view(B, self.heads, n, -1).mean(1) if wanted else None

    @property
    def _dropout(self) -> float:
        return self.dropout if self.training else 0.0

    def _split(self, x: Tensor) -> Tensor:
        """[B, n, D] to [B, heads, n, D / heads]."""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)


def _softmax(similar: Tensor) -> Tensor:
    """Over the last axis, in float32 at least."""
    return similar.softmax(-1, dtype=torch.promote_types(similar.dtype, torch.float32))
