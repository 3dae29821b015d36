"""The backbone: where its weights come from, what is frozen, and what is refused."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from sadcl import files, params
from sadcl.errors import SadclError
from sadcl.model import backbone

torch.set_num_threads(1)
LITE0 = params.Model(
    backbone="tf_efficientnet_lite0", weights="random", side=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5),
    width=32, heads=2, feedforward=64, embedding=16,
)  # fmt: skip


def build(**change: Any) -> backbone.Backbone:
    return backbone.build(LITE0.model_copy(update=change))


@pytest.mark.parametrize(("stride", "side"), [(32, 3), (16, 6), (8, 12)])
def test_the_stride_of_the_feature_map_is_a_setting(stride: int, side: int) -> None:
    built = build(output_stride=stride).eval()
    with torch.inference_mode():
        assert built(torch.zeros(1, 3, 96, 96)).shape == (1, built.channels, side, side)


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "test_resnet", "test_convnext"])
def test_a_network_can_end_at_a_stride_instead_of_being_dilated(name: str) -> None:
    whole = build(backbone=name).eval()
    cut = build(backbone=name, output_stride=16, dilated=False).eval()
    with torch.inference_mode():
        assert cut(torch.zeros(1, 3, 96, 96)).shape == (1, cut.channels, 6, 6)
    assert {n for n, _ in cut.body.named_parameters()} < {n for n, _ in whole.body.named_parameters()}


def test_a_network_that_ends_early_keeps_the_weights_of_what_is_left() -> None:
    whole, cut = build(weights="package").body, build(weights="package", output_stride=16, dilated=False).body
    left = dict(cut.named_parameters())
    assert len(left) > 50
    assert all(torch.equal(left[name], p) for name, p in whole.named_parameters() if name in left)


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "tf_efficientnet_lite2"])
def test_packaged_weights_see_what_is_in_a_photo(name: str) -> None:
    """The stored statistics of the last batch norm fit the maps only if each tensor found its place."""
    from sklearn.datasets import load_sample_image

    built = build(backbone=name, weights="package").eval()
    photos = [torch.from_numpy(load_sample_image(name).copy()) for name in ("china.jpg", "flower.jpg")]
    images = torch.stack(photos).permute(0, 3, 1, 2).float().div(127.5).sub(1)[..., 100:324, 200:424]
    seen: dict[str, torch.Tensor] = {}
    last = built.body.bn2
    last.register_forward_hook(lambda _, inputs, __: seen.update(x=inputs[0]))
    with torch.inference_mode():
        built(images)
    distance = (seen["x"].mean((0, 2, 3)) - last.running_mean) / last.running_var.sqrt()
    assert distance.abs().median() < 0.5


def test_a_dilated_map_keeps_the_weights() -> None:
    coarse, fine = build(weights="package"), build(weights="package", output_stride=16)
    assert all(torch.equal(a, b) for a, b in zip(coarse.parameters(), fine.parameters(), strict=True))


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_weights_come_from_a_file_too(tmp_path: Path, ending: str) -> None:
    torch.manual_seed(1)
    state = {**build().body.state_dict(), "classifier.weight": torch.zeros(2, 1280)}
    path = tmp_path / f"start.{ending}"
    torch.save(state, path) if ending == "pth" else save_file(state, path)
    assert torch.equal(build(weights=str(path)).body.conv_stem.weight, state["conv_stem.weight"])


def test_without_a_start_nothing_is_read() -> None:
    settings = LITE0.model_copy(update={"weights": "/nowhere.pth"})
    assert backbone.build(settings, start=False).channels == 1280


def test_frozen_parts_neither_learn_nor_keep_statistics() -> None:
    built = build(frozen=("conv_stem", "bn1", "blocks.0")).train()
    before = {k: v.clone() for k, v in built.body.state_dict().items()}
    built(torch.randn(4, 3, 32, 32)).square().mean().backward()
    learnt = {name for name, p in built.body.named_parameters() if p.grad is not None}
    frozen = {name for name, _ in built.body.named_parameters() if name.startswith(("conv_stem.", "bn1.", "blocks.0."))}
    assert learnt == {name for name, _ in built.body.named_parameters()} - frozen
    moved = {name for name, v in built.body.state_dict().items() if not torch.equal(v, before[name])}
    assert "blocks.1.0.bn1.running_mean" in moved
    assert not any(name.startswith(("bn1.", "blocks.0.")) for name in moved)


def test_autograd_keeps_nothing_of_a_frozen_start() -> None:
    built, tracked = build(frozen=("conv_stem", "bn1", "blocks.0", "blocks.1")).train(), []
    for block in built.body.blocks:
        block.register_forward_hook(lambda _, __, out: tracked.append(out.requires_grad))
    built(torch.randn(2, 3, 32, 32))
    assert tracked == [False, False, True, True, True, True, True]


def test_frozen_batch_norm_keeps_what_it_started_with() -> None:
    built = build(freeze_batch_norm=True).train()
    before = built.body.bn2.running_mean.clone()
    built(torch.randn(4, 3, 32, 32)).square().mean().backward()
    norms = [m for m in built.body.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms
    assert all(not m.training and m.weight.grad is None and not m.weight.requires_grad for m in norms)
    assert torch.equal(built.body.bn2.running_mean, before)
    assert built.body.conv_head.weight.grad is not None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"backbone": "tf_efficientnet_lit0"}, "The nearest name is tf_efficientnet_lite0"),
        ({"backbone": "resnet18.tv_in2k", "weights": "timm"}, r"model\.backbone.*tags .*tv_in1k"),
        ({"backbone": "test_vit2.none"}, r"Invalid pretrained tag.*tags r160_in1k"),
        ({"backbone": "resnet18", "weights": "package"}, "There is no package with weights of"),
        ({"weights": "/nowhere.pth"}, "can't be read"),
        ({"frozen": ("conv_stem", "layer9")}, r"no part 'layer9'.*model\.frozen.*conv_stem"),
        (
            {"backbone": "test_vit", "output_stride": 16},
            r"can't build 'test_vit'.*model\.output_stride.*Leave it at 32",
        ),
        ({"backbone": "test_vit", "output_stride": 8, "dilated": False}, "test_vit can't end at stride 8.*strides 16"),
    ],
)
def test_a_wrong_setting_is_a_sentence(change: dict[str, Any], words: str) -> None:
    with pytest.raises(SadclError) as caught:
        build(**change)
    assert re.search(words, str(caught.value))


def test_weights_that_fit_another_network_are_refused(tmp_path: Path) -> None:
    save_file({"conv1.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(SadclError, match="lack conv_stem"):
        build(weights=str(tmp_path / "other.safetensors"))


def test_damaged_packaged_weights_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "digest", lambda path: "0" * 64)
    with pytest.raises(SadclError, match="damaged"):
        build(weights="package")


def test_weights_that_can_not_be_downloaded_are_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(SadclError, match=r"can't build 'resnet18\.tv_in1k'") as caught:
        build(backbone="resnet18.tv_in1k", weights="timm")
    assert caught.value.where == "model.weights"
