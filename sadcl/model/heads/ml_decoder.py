"""ML-Decoder: fixed queries, one for each group of classes (Ridnik et al., WACV 2023, arXiv 2111.12933)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sadcl import params
from sadcl.model.heads.attention import Attention
from sadcl.model.heads.base import HeadOutput


class MLDecoder(nn.Module):
    """One decoder layer without self-attention; a query's output gives the logits of all classes of its group.

    With as many groups as classes, each class has its own query; fewer groups make the cost independent of C.

    Attributes:
        queries: [G, D], random and never trained (paper, section 2.3).
    """

    queries: Tensor

    def __init__(self, channels: int, classes: int, settings: params.Model) -> None:
        super().__init__()
        D, groups = settings.width, min(settings.groups, classes)
        group_size = -(-classes // groups)
        self.embed = nn.Linear(channels, D)
        self.register_buffer("queries", torch.randn(groups, D))
        self.attention = Attention(D, settings.heads, settings.dropout)
        self.linear1, self.linear2 = nn.Linear(D, settings.feedforward), nn.Linear(settings.feedforward, D)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(D), nn.LayerNorm(D), nn.LayerNorm(D)
        self.dropout = nn.Dropout(settings.dropout)
        self.weight = nn.Parameter(torch.empty(groups, D, group_size))
        self.bias = nn.Parameter(torch.zeros(classes))
        nn.init.xavier_uniform_(self.attention.in_proj_weight)
        nn.init.xavier_normal_(self.weight)

    def forward(self, feature_map: Tensor, attention: bool = False) -> HeadOutput:
        """[B, channels, h, w] to logits [B, C] and, on request, its group's attention for each class [B, C, h, w]."""
        B, (h, w), (C,) = len(feature_map), feature_map.shape[-2:], self.bias.shape
        tokens = F.relu(self.embed(feature_map.flatten(2).transpose(1, 2)))
        queries = self.norm1(self.queries + self.dropout(self.queries))[None]
        attended, weights = self.attention(queries, tokens, tokens, attention)
        state = self.norm2(queries + self.dropout(attended))
        state = self.norm3(state + self.dropout(self.linear2(self.dropout(F.relu(self.linear1(state))))))
        logits = torch.einsum("bgd,gdk->bgk", state, self.weight).flatten(1)[:, :C] + self.bias
        if weights is not None:
            weights = weights.repeat_interleave(self.weight.shape[2], 1)[:, :C].reshape(B, C, h, w)
        return HeadOutput(logits, attention=weights)
