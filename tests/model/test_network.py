"""Backbones, parameter counts, and weights on disk."""

from pathlib import Path

import pytest
import torch

from sadcl import params
from sadcl.errors import SadclError
from sadcl.model import tagger, weights
from sadcl.model.contrast import DualContrast
from sadcl.model.network import Network

torch.set_num_threads(1)
SMALL = params.Model(
    backbone="tf_efficientnet_lite0", weights="random", side=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5),
    width=32, heads=2, feedforward=64, embedding=16,
)  # fmt: skip
PAPER = params.Model(
    backbone="resnet101.tv_in1k", weights="random", frozen=("conv1", "bn1", "layer1"), freeze_batch_norm=True,
    side=448, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), width=2048, heads=4, feedforward=8192,
    embedding=1024,
)  # fmt: skip


def trained(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def test_the_papers_network_has_the_papers_parameters() -> None:
    with torch.device("meta"):
        network = Network(PAPER, 80, start=False)
        both = DualContrast(network, torch.empty(80, 2048), 1024)
    assert trained(network) == 193_579_088
    assert trained(both) == 200_037_456


@pytest.mark.parametrize(("stride", "side"), [(32, 3), (16, 6)])
def test_the_stride_of_the_feature_map_is_a_setting(stride: int, side: int) -> None:
    network = Network(SMALL.model_copy(update={"output_stride": stride}), 4).eval()
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, 96, 96), attention=True).attention.shape == (1, 4, side, side)


def test_imagenet_weights_come_from_their_package() -> None:
    network = Network(SMALL.model_copy(update={"weights": "package"}), 4)
    again = Network(SMALL.model_copy(update={"weights": "package"}), 4)
    assert torch.equal(network.backbone.body.conv_stem.weight, again.backbone.body.conv_stem.weight)
    assert float(network.backbone.body.bn1.running_var.std()) > 0


def test_frozen_parts_neither_learn_nor_keep_statistics() -> None:
    network = Network(SMALL.model_copy(update={"frozen": ("conv_stem", "bn1")}), 4).train()
    before = network.backbone.body.bn1.running_mean.clone()
    network(torch.randn(4, 3, 32, 32)).logits.sum().backward()
    assert network.backbone.body.conv_stem.weight.grad is None
    assert torch.equal(network.backbone.body.bn1.running_mean, before)
    assert network.backbone.body.blocks[0][0].conv_dw.weight.grad is not None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"backbone": "no_such_net"}, "no_such_net"),
        ({"weights": "/nowhere.pth"}, "can't be read"),
        ({"head": "x"}, "no head"),
    ],
)
def test_a_wrong_setting_is_a_sentence(change: dict[str, str], words: str) -> None:
    with pytest.raises(SadclError, match=words):
        Network(SMALL.model_copy(update=change), 4)


def saved(folder: Path, change: dict[str, object] | None = None) -> Path:
    torch.manual_seed(0)
    network = Network(SMALL, 3)
    tensors = {f"{which}.network.{k}": v.clone() for which in ("ema", "raw") for k, v in network.state_dict().items()}
    head = {
        "stage": "train", "classes": ["a", "b", "c"], "model": SMALL.model_dump(mode="json"), "best": "ema",
        "preprocessing": {"side": 32, "mean": [0.5] * 3, "std": [0.5] * 3}, **(change or {}),
    }  # fmt: skip
    weights.save(folder / "weights.safetensors", tensors, head)
    return folder / "weights.safetensors"


def test_the_same_weights_give_the_same_bytes(tmp_path: Path) -> None:
    assert saved(tmp_path / "a").read_bytes() == saved(tmp_path / "b").read_bytes()


def test_damaged_foreign_or_missing_weights_are_a_sentence(tmp_path: Path) -> None:
    file = saved(tmp_path)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    for path in (file, tmp_path / "none.safetensors"):
        with pytest.raises(SadclError, match="weights"):
            weights.load(path)
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(SadclError, match="not sadcl's"):
        weights.load(tmp_path / "foreign.safetensors")
    with pytest.raises(SadclError, match="not finite"):
        weights.save(tmp_path / "nan.safetensors", {"x": torch.tensor([float("nan")])}, {})
    assert not (tmp_path / "nan.safetensors").exists()


def test_a_tagger_brings_preprocessing_classes_and_thresholds(tmp_path: Path) -> None:
    from PIL import Image

    model = tagger.load(saved(tmp_path, {"thresholds": [0.0, 1.0, 0.0]}).parent)
    photo = tmp_path / "photo.png"
    Image.new("RGB", (40, 20), "red").save(photo)
    (labels,) = model.predict([photo])
    assert sorted(name for name, _ in labels) == ["a", "c"]
    assert labels[0][1] >= labels[1][1]
    same = model.scores([photo, photo.read_bytes(), Image.open(photo)])
    assert (same == same[0]).all()
    assert model.attention(photo).shape == (3, 1, 1)
    with pytest.raises(SadclError, match=r"none\.jpg"):
        model.predict([tmp_path / "none.jpg"])
