"""Backbones of tokens and of channels last: maps for every head, sides, weights of another side, refusals."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from sadcl import params
from sadcl.errors import SadclError
from sadcl.model import backbone
from sadcl.model.heads import HEADS
from sadcl.model.network import Network

torch.set_num_threads(1)
VIT = params.Model(
    backbone="test_vit", weights="random", side=64, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5),
    width=32, heads=2, feedforward=64, embedding=16,
)  # fmt: skip
SWIN = "swin_tiny_patch4_window7_224"


def build(**change: Any) -> backbone.Backbone:
    torch.manual_seed(0)
    return backbone.build(VIT.model_copy(update=change))


@pytest.mark.parametrize(
    ("name", "side", "positions"),
    [
        ("test_vit", 64, 4),
        ("vit_small_patch14_dinov2", 42, 3),
        ("vit_base_patch16_siglip_256", 32, 2),
        ("eva02_tiny_patch14_224", 42, 3),
        ("test_mambaout", 64, 2),
    ],
)
def test_tokens_and_channels_last_become_maps(name: str, side: int, positions: int) -> None:
    with torch.device("meta"):
        built = build(backbone=name, side=side)
        assert built(torch.empty(2, 3, side, side)).shape == (2, built.channels, positions, positions)


def test_a_swin_learns_at_one_side_and_is_used_at_another() -> None:
    with torch.device("meta"):
        built = build(backbone=SWIN, side=64, test_side=96, output_stride=16, dilated=False)
        built(torch.randn(2, 3, 64, 64)).square().mean().backward()
        assert built(torch.zeros(1, 3, 96, 96)).shape == (1, 384, 6, 6)
    assert all(parameter.grad is not None for parameter in built.parameters())


def test_positions_of_a_map_are_places_in_the_photo() -> None:
    """What changes in one corner of the photo changes the map in that corner the most."""
    built, photo = build().eval(), torch.zeros(1, 3, 64, 64)
    changed = photo.clone()
    changed[..., :16, 48:] = 3.0
    with torch.inference_mode():
        moved = (built(changed) - built(photo)).square().sum(1)[0]
    assert divmod(int(moved.argmax()), 4) == (0, 3)


@pytest.mark.parametrize("head", HEADS)
def test_every_head_learns_on_a_vision_transformer(head: str) -> None:
    """A parameter without a gradient would stop a training of several processes."""
    torch.manual_seed(0)
    network = Network(VIT.model_copy(update={"head": head, "test_side": 96}), 5).train()
    out = network(torch.randn(2, 3, 64, 64), attention=True)
    out.logits.square().sum().backward()
    assert [name for name, p in network.named_parameters() if p.requires_grad and p.grad is None] == []
    assert network.eval()(torch.randn(1, 3, 96, 96)).logits.shape == (1, 5)
    if out.attention is not None:
        assert out.attention.shape == (2, 5, 4, 4)


def test_frozen_blocks_of_a_vision_transformer_store_nothing() -> None:
    built, tracked = build(frozen=("cls_token", "pos_embed", "patch_embed", "blocks.0", "blocks.1")), []
    for block in built.body.blocks:
        block.register_forward_hook(lambda _, __, out: tracked.append(out.requires_grad))
    built(torch.randn(2, 3, 64, 64))
    assert tracked == [False, False, True, True, True, True]
    assert build(frozen=("cls_token", "pos_embed", "patch_embed", "blocks", "norm")).learns is False


def test_the_norm_of_a_pooled_token_becomes_that_of_every_token() -> None:
    built = build(backbone="vit_tiny_patch16_224", weights="random", side=32).eval()
    pooled = build(backbone="eva02_tiny_patch14_224", side=28).eval()
    with torch.inference_mode():
        for each, side in ((built, 32), (pooled, 28)):
            tokens = each(torch.randn(1, 3, side, side))
            torch.testing.assert_close(tokens.mean(1), torch.zeros(1, 2, 2), atol=1e-5, rtol=0)
            torch.testing.assert_close(tokens.var(1, correction=0), torch.ones(1, 2, 2), atol=1e-3, rtol=0)


def test_a_file_of_another_side_gives_its_positions_interpolated(tmp_path: Path) -> None:
    path = tmp_path / "start.safetensors"
    small = build().body.state_dict()
    save_file(small, path)
    large = build(side=128, weights=str(path)).body
    assert large.pos_embed.shape[1] - 1 == 4 * (small["pos_embed"].shape[1] - 1)
    own = dict(large.named_parameters())
    assert all(torch.equal(own[name], tensor) for name, tensor in small.items() if name != "pos_embed")
    means = (positions.mean(0) for positions in (large.pos_embed[0, 1:], small["pos_embed"][0, 1:]))
    torch.testing.assert_close(*means, atol=2e-3, rtol=0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"side": 60}, r"can't take photos of 60 px.*patches have 16 px.*model\.side.*nearest side is 48 or 64"),
        ({"side": 8}, r"model\.side.*nearest side is 16"),
        ({"test_side": 90}, r"can't take photos of 90 px.*model\.test_side.*multiple of 16"),
        ({"backbone": "beit_base_patch16_224", "test_side": 96}, r"model\.test_side.*Set it to null"),
        ({"backbone": "maxvit_rmlp_pico_rw_256", "side": 240}, r"divisible by window.*nearest side is 224 or 256"),
        ({"backbone": "hiera_tiny_224", "side": 224}, r"no feature map of Hiera.*model\.backbone"),
    ],
)
def test_what_a_network_does_not_take_is_a_sentence_before_training(change: dict[str, Any], words: str) -> None:
    with torch.device("meta"), pytest.raises(SadclError) as caught:
        build(**change)
    assert re.search(words, str(caught.value))


def test_a_convolutional_network_takes_photos_of_any_side() -> None:
    assert build(backbone="test_resnet", side=65)(torch.zeros(1, 3, 65, 65)).shape == (1, 96, 3, 3)
