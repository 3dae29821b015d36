"""SARL, semantic-aware representation learning: one feature vector a label (method, section 2)."""

import math
from functools import lru_cache

import torch
from torch import Tensor, nn

from sadcl import params
from sadcl.errors import SadclError
from sadcl.model.heads.attention import Attention
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
        inner = self.linear2(self.dropout(self.linear1(x).relu()))
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
