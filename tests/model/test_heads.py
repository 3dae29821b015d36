"""The peers' heads against their formulas, written as loops."""

import math

import pytest
import torch
from torch import Tensor, nn

from sadcl import params
from sadcl.errors import SadclError
from sadcl.model import heads
from sadcl.model.heads import HEADS
from sadcl.model.heads.csra import CSRA
from sadcl.model.heads.ml_decoder import MLDecoder

SETTINGS = params.Model(
    backbone="none", side=32, mean=(0, 0, 0), std=(1, 1, 1), width=16, heads=4, feedforward=24, embedding=8,
    residual=0.4,
)  # fmt: skip
CHANNELS, CLASSES = 12, 7


def built(head: str, **change: object) -> nn.Module:
    torch.manual_seed(0)
    settings = SETTINGS.model_copy(update={"head": head, **change})
    return heads.build(CHANNELS, CLASSES, settings).double().eval()


@pytest.fixture
def feature_map() -> Tensor:
    torch.manual_seed(1)
    return torch.randn(3, CHANNELS, 4, 5, dtype=torch.float64)


@pytest.mark.parametrize("count", [1, 2, 4, 6, 8])
def test_csra_is_its_formula(count: int, feature_map: Tensor) -> None:
    head = built("csra", heads=count)
    assert isinstance(head, CSRA)
    temperatures = {1: [1], 2: [1, None], 4: [1, 2, 4, None]}.get(count, [*range(1, count), None])
    expected = torch.zeros(3, CLASSES, dtype=torch.float64)
    for b, c in ((b, c) for b in range(3) for c in range(CLASSES)):
        at = [feature_map[b, :, y, x] for y in range(4) for x in range(5)]
        for vector, T in zip(head.weight.detach()[:, c], temperatures, strict=True):
            scores = [float(vector @ x / vector.norm()) for x in at]
            if T is None:
                looked = max(scores)
            else:
                total = sum(math.exp(T * s) for s in scores)
                looked = sum(s * math.exp(T * s) / total for s in scores)
            expected[b, c] += sum(scores) / len(scores) + 0.4 * looked
    torch.testing.assert_close(head(feature_map).logits.detach(), expected, atol=1e-12, rtol=0)


def test_csra_without_residual_is_pooling_with_unit_vectors(feature_map: Tensor) -> None:
    head = built("csra", heads=1, residual=0.0)
    unit = nn.functional.normalize(head.weight[0], dim=1)
    torch.testing.assert_close(head(feature_map).logits, feature_map.mean((2, 3)) @ unit.T)


@pytest.mark.parametrize("kind", ["ml_decoder", "sarl"])
def test_a_width_that_attention_heads_cannot_share_is_refused(kind: str) -> None:
    with pytest.raises(SadclError, match="The width 16 must be a multiple of the 3 heads"):
        built(kind, heads=3)


def test_csra_knows_only_the_papers_numbers_of_heads() -> None:
    with pytest.raises(SadclError, match=r"no temperatures for 3 heads.*Choose one of 1, 2, 4, 6, 8"):
        built("csra", heads=3)


@pytest.mark.parametrize("groups", [1, 3, 4, 7, 100])
def test_ml_decoder_is_its_formula(groups: int, feature_map: Tensor) -> None:
    head = built("ml_decoder", groups=groups)
    assert isinstance(head, MLDecoder)
    attention = nn.MultiheadAttention(16, 4, batch_first=True).double().eval()
    attention.load_state_dict(head.attention.state_dict())
    each, queries = math.ceil(CLASSES / min(groups, CLASSES)), head.norm1(2 * head.queries)
    out = head(feature_map, attention=True)
    for b in range(3):
        tokens = torch.stack([feature_map[b, :, y, x] for y in range(4) for x in range(5)])
        tokens = torch.relu(tokens @ head.embed.weight.T + head.embed.bias)[None]
        attended, looked = attention(queries[None], tokens, tokens)
        state = head.norm2(queries + attended[0])
        state = head.norm3(state + head.linear2(torch.relu(head.linear1(state))))
        for c in range(CLASSES):
            expected = state[c // each] @ head.weight[c // each][:, c % each] + head.bias[c]
            torch.testing.assert_close(out.logits[b, c], expected, atol=1e-12, rtol=0)
            torch.testing.assert_close(out.attention[b, c].flatten(), looked[0, c // each], atol=1e-12, rtol=0)


def test_the_queries_of_ml_decoder_are_stored_but_not_trained() -> None:
    head = built("ml_decoder")
    assert "queries" in head.state_dict()
    assert "queries" not in dict(head.named_parameters())


@pytest.mark.parametrize("head", HEADS)
def test_where_a_label_looks_sums_to_one(head: str, feature_map: Tensor) -> None:
    looked = built(head)(feature_map, attention=True).attention
    assert built(head)(feature_map).attention is None
    if head != "pooling":
        assert looked.shape == (3, CLASSES, 4, 5)
        torch.testing.assert_close(looked.sum((2, 3)), torch.ones_like(looked[..., 0, 0]))


@pytest.mark.parametrize("head", HEADS)
def test_no_head_sees_another_photo(head: str, feature_map: Tensor) -> None:
    module = built(head)
    torch.testing.assert_close(module(feature_map).logits[1:2], module(feature_map[1:2]).logits)


@pytest.mark.parametrize("head", sorted({*HEADS} - {"sarl"}))
def test_the_peers_know_no_order_of_positions(head: str, feature_map: Tensor) -> None:
    module = built(head)
    torch.testing.assert_close(module(feature_map.flip(2, 3)).logits, module(feature_map).logits)
