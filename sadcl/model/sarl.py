"""SARL, semantic-aware representation learning: one feature vector a label (method, section 2)."""

import math
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sadcl import params
from sadcl.errors import SadclError
from sadcl.model.heads.base import HeadOutput


class SARL(nn.Module):
    """Encoder over the feature map, decoder with one learnt query a label, one linear map a label.

    Args:
        channels: of the feature map; where they are D no projection stands before the encoder.
        classes: C.
        settings: section model; 0 encoder layers give the paper's SARL* (method, section 2.7).

    Raises:
        SadclError: the width can't be shared out among the heads, or between the axes of the positions.
    """

    def __init__(self, channels: int, classes: int, settings: params.Model) -> None:
        super().__init__()
        D, s = settings.width, settings
        if D % s.heads or D % 2:
            raise SadclError(
                f"The width {D} must be even and a multiple of the {s.heads} heads",
                where="model.width",
                fix="Change one",
            )
        self.input_proj = nn.Identity() if channels == D else nn.Conv2d(channels, D, 1)
        self.encoder = nn.ModuleList(
            EncoderLayer(D, s.heads, s.feedforward, s.dropout) for _ in range(s.encoder_layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(D, s.heads, s.feedforward, s.dropout) for _ in range(s.decoder_layers)
        )
        self.norm = nn.LayerNorm(D)
        self.queries = nn.Parameter(torch.empty(classes, D))
        self.weight = nn.Parameter(torch.empty(classes, D))
        self.bias = nn.Parameter(torch.empty(classes))
        self._initialise()

    def forward(self, feature_map: Tensor, attention: bool = False) -> HeadOutput:
        """[B, channels, h, w] to logits [B, C], features [B, C, D] and, if wanted, attention [B, C, h, w]."""
        h, w = feature_map.shape[-2:]
        memory, position = self.encode(feature_map)
        features, looked = self.decode(memory, position, attention)
        logits = (features * self.weight).sum(-1) + self.bias
        return HeadOutput(logits, features, None if looked is None else looked.reshape(*looked.shape[:2], h, w))

    def encode(self, feature_map: Tensor) -> tuple[Tensor, Tensor]:
        """[B, channels, h, w] to tokens [B, hw, D] after the encoder, and their positions [1, hw, D]."""
        projected = self.input_proj(feature_map)
        tokens = projected.flatten(2).transpose(1, 2).contiguous()  # as it is, where channels come last
        h, w = projected.shape[-2:]
        position = _positions(h, w, tokens.shape[-1], tokens.device, tokens.dtype)
        for layer in self.encoder:
            tokens = layer(tokens, position)
        return tokens, position

    def decode(self, memory: Tensor, position: Tensor, attention: bool = False) -> tuple[Tensor, Tensor | None]:
        """Tokens [B, hw, D] to features [B, C, D] and the last layer's attention [B, C, hw]."""
        state = torch.zeros_like(self.queries)[None]  # the same for every photo until it has looked at one
        looked = None
        for i, layer in enumerate(self.decoder):
            state, looked = layer(state, self.queries, memory, position, attention and i == len(self.decoder) - 1)
        return self.norm(state), looked

    def _initialise(self) -> None:
        for parameter in (*self.encoder.parameters(), *self.decoder.parameters()):
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        bound = 1 / math.sqrt(self.weight.shape[1])
        nn.init.normal_(self.queries)
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)


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


class _Layer(nn.Module):
    """Attention and feed-forward, each followed by its sum and norm (post-norm)."""

    def __init__(self, D: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.attention = Attention(D, heads, dropout)
        self.linear1, self.linear2 = nn.Linear(D, feedforward), nn.Linear(feedforward, D)
        self.norm1, self.norm2 = nn.LayerNorm(D), nn.LayerNorm(D)
        self.dropout = nn.Dropout(dropout)

    def _after(self, x: Tensor, attended: Tensor) -> Tensor:
        x = self.norm1(x + self.dropout(attended))
        inner = self.linear2(self.dropout(self.linear1(x).relu_()))
        return self.norm2(x + self.dropout(inner))  # type: ignore[no-any-return]


class EncoderLayer(_Layer):
    """Tokens attend to one another; positions enter queries and keys only."""

    def forward(self, tokens: Tensor, position: Tensor) -> Tensor:
        """[B, hw, D] to [B, hw, D]."""
        at = tokens + position
        return self._after(tokens, self.attention(at, at, tokens)[0])


class DecoderLayer(_Layer):
    """Labels look at tokens, never at one another (no self-attention)."""

    def forward(
        self, state: Tensor, queries: Tensor, memory: Tensor, position: Tensor, wanted: bool
    ) -> tuple[Tensor, Tensor | None]:
        """State [B, C, D] (or [1, C, D]) to [B, C, D] and, if wanted, where each label looked [B, C, hw]."""
        attended, looked = self.attention(state + queries, memory + position, memory, wanted)
        return self._after(state, attended), looked


@lru_cache(maxsize=8)
def _positions(h: int, w: int, D: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """``sine_encoding`` as tokens [1, hw, D], kept where it is used: no copy to the device at each step."""
    with torch.inference_mode(False):  # first asked for in serving, it must still do for training
        return sine_encoding(h, w, D).flatten(1).T[None].to(device, dtype)


def sine_encoding(h: int, w: int, D: int) -> Tensor:
    """Fixed positions [D, h, w] in float32, normalised to (0, 2 pi]: y half first, then x (method, section 2.2)."""
    P, eps = D // 2, 1e-6
    # in this order, in float32: it gives the released table bit for bit
    u, v = (torch.arange(1, n + 1, dtype=torch.float32, device="cpu") for n in (h, w))
    u, v = (at / (at[-1] + eps) * (2 * math.pi) for at in (u, v))
    n = torch.arange(P, dtype=torch.float32, device="cpu")
    wave = 10000 ** (2 * torch.div(n, 2, rounding_mode="floor") / P)
    y, x = (torch.where(n % 2 == 0, torch.sin(at[:, None] / wave), torch.cos(at[:, None] / wave)) for at in (u, v))
    return torch.cat([y[:, None].expand(h, w, P), x[None].expand(h, w, P)], -1).permute(2, 0, 1).contiguous()
