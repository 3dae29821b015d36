"""SARL, semantic-aware representation learning: one feature vector for each label (method, section 2)."""

import math
from functools import lru_cache

import torch
from torch import Tensor, nn

from sadcl import params
from sadcl.errors import SadclError
from sadcl.model.heads.attention import Attention
from sadcl.model.heads.base import HeadOutput


class SARL(nn.Module):
    """Encoder over the feature map, decoder with one learnt query for each label, one linear classifier for each.

    Args:
        channels: of the feature map; where they equal D there is no projection before the encoder.
        classes: C.
        settings: section model; 0 encoder layers give the paper's SARL* (method, section 2.7).

    Raises:
        SadclError: the width is odd (two axes share the positions) or no multiple of the heads.
    """

    def __init__(self, channels: int, classes: int, settings: params.Model) -> None:
        super().__init__()
        D, s = settings.width, settings
        if D % 2:
            raise SadclError(f"The width {D} must be even", where="model.width", fix="Change it")
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
        """[B, channels, h, w] to logits [B, C], features [B, C, D] and, on request, attention [B, C, h, w]."""
        h, w = feature_map.shape[-2:]
        memory, position = self.encode(feature_map)
        features, weights = self.decode(memory, position, attention)
        # equation (2) of docs/explanation/method.md: each label's feature meets its own row of weights alone
        logits = (features * self.weight).sum(-1) + self.bias
        return HeadOutput(logits, features, None if weights is None else weights.reshape(*weights.shape[:2], h, w))

    def encode(self, feature_map: Tensor) -> tuple[Tensor, Tensor]:
        """Encode a feature map [B, channels, h, w]: tokens [B, hw, D], and their positions [1, hw, D]."""
        projected = self.input_proj(feature_map)
        tokens = projected.flatten(2).transpose(1, 2).contiguous()  # no copy where channels come last
        h, w = projected.shape[-2:]
        position = _positions(h, w, tokens.shape[-1], tokens.device, tokens.dtype)
        for layer in self.encoder:
            tokens = layer(tokens, position)
        return tokens, position

    def decode(self, memory: Tensor, position: Tensor, attention: bool = False) -> tuple[Tensor, Tensor | None]:
        """Decode tokens [B, hw, D] to features [B, C, D] and, on request, the last layer's attention [B, C, hw]."""
        state = torch.zeros_like(self.queries)[None]  # [1, C, D]: equal for all photos until the first cross-attention
        weights = None
        for i, layer in enumerate(self.decoder):
            state, weights = layer(state, self.queries, memory, position, attention and i == len(self.decoder) - 1)
        return self.norm(state), weights

    def _initialise(self) -> None:
        for parameter in (*self.encoder.parameters(), *self.decoder.parameters()):
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        bound = 1 / math.sqrt(self.weight.shape[1])
        nn.init.normal_(self.queries)
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)


class _Layer(nn.Module):
    """Attention and feed-forward, each followed by residual sum and norm (post-norm)."""

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
    """Self-attention of the tokens; positions enter queries and keys only."""

    def forward(self, tokens: Tensor, position: Tensor) -> Tensor:
        """Encode tokens: [B, hw, D] to [B, hw, D]."""
        positioned = tokens + position
        return self._after(tokens, self.attention(positioned, positioned, tokens)[0])


class DecoderLayer(_Layer):
    """Cross-attention of labels to tokens, without self-attention among the labels."""

    def forward(
        self, state: Tensor, queries: Tensor, memory: Tensor, position: Tensor, need_weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Update the state [B, C, D] (or [1, C, D]) to [B, C, D]; on request, attention of each label [B, C, hw]."""
        attended, weights = self.attention(state + queries, memory + position, memory, need_weights)
        return self._after(state, attended), weights


@lru_cache(maxsize=8)
def _positions(h: int, w: int, D: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """``sine_encoding`` as tokens [1, hw, D], cached on the device: no copy to it at each step."""
    with torch.inference_mode(False):  # a tensor first cached by prediction must still take part in training
        return sine_encoding(h, w, D).flatten(1).T[None].to(device, dtype)


def sine_encoding(h: int, w: int, D: int) -> Tensor:
    """Fixed positions [D, h, w] in float32, normalised to (0, 2 pi]: y half first, then x (method, section 2.2)."""
    P, eps = D // 2, 1e-6
    # float32 and this order of operations give the released table bit for bit
    u, v = (torch.arange(1, n + 1, dtype=torch.float32, device="cpu") for n in (h, w))
    # equation (1) of docs/explanation/method.md
    u, v = (line / (line[-1] + eps) * (2 * math.pi) for line in (u, v))
    n = torch.arange(P, dtype=torch.float32, device="cpu")
    wave = 10000 ** (2 * torch.div(n, 2, rounding_mode="floor") / P)
    y, x = (
        torch.where(n % 2 == 0, torch.sin(line[:, None] / wave), torch.cos(line[:, None] / wave)) for line in (u, v)
    )
    return torch.cat([y[:, None].expand(h, w, P), x[None].expand(h, w, P)], -1).permute(2, 0, 1).contiguous()
