"""Training starts from a whole model: each class finds its row by name, the others start from random values."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from sadcl import files, params
from sadcl.errors import SadclError
from sadcl.model.network import Network
from sadcl.weights import checkpoint, initial, training_photos
from sadcl.weights.released import CLASSES

torch.set_num_threads(1)
PHOTOS = np.array([3, 2**63 + 1], np.uint64)
COCO, VOC = CLASSES[80], CLASSES[20]
VOC_ROWS = [4, 1, 14, 8, 39, 5, 2, 15, 56, 19, 60, 16, 17, 3, 0, 58, 18, 57, 6, 62]
"""The published indices (method, section 2.6)."""
MODEL = params.Model(
    backbone="test_resnet", weights="random", side=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5),
    width=16, heads=2, feedforward=32, embedding=8,
)  # fmt: skip


def write(path: Path, classes: Sequence[str] = COCO, **change: Any) -> Network:
    """Write a model of ours, and give it."""
    torch.manual_seed(1)
    model = MODEL.model_copy(update=change)
    network = Network(model, len(classes)).eval()
    head = {
        "stage": "pretrain", "classes": list(classes), "model": model.model_dump(mode="json"), "best": "ema",
        "preprocessing": {"side": 32, "mean": [0.5] * 3, "std": [0.5] * 3}, "thresholds": None,
        training_photos.KEY: training_photos.dump(PHOTOS),
    }  # fmt: skip
    checkpoint.save(path, {f"ema.network.{name}": tensor for name, tensor in network.state_dict().items()}, head)
    return network


def start(path: Path, classes: Sequence[str], **change: Any) -> Network:
    torch.manual_seed(2)
    return initial.initial_network(MODEL.model_copy(update={"weights": str(path), **change}), classes)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.safetensors"


def test_a_network_whose_positions_do_not_fit_is_refused_in_a_sentence(path: Path) -> None:
    write(path, backbone="pit_ti_224", side=224)
    with pytest.raises(SadclError, match=r"do not fit the network: pos_embed is \[.*model\.side"):
        start(path, COCO, backbone="pit_ti_224", side=256)


def test_a_transformer_starts_from_a_model_of_another_side(path: Path) -> None:
    small = write(path, backbone="test_vit", side=64)
    large = start(path, COCO, backbone="test_vit", side=128)
    assert torch.equal(large.backbone.body.blocks[0].attn.qkv.weight, small.backbone.body.blocks[0].attn.qkv.weight)
    assert torch.equal(large.head.queries, small.head.queries)
    positions = [network.backbone.body.pos_embed[0, 1:] for network in (small, large)]
    assert [len(each) for each in positions] == [16, 64]
    torch.testing.assert_close(positions[0].mean(0), positions[1].mean(0), atol=2e-3, rtol=0)


def logits(network: Network) -> Tensor:
    with torch.inference_mode():
        return network.eval()(torch.randn(2, 3, 64, 32, generator=torch.Generator().manual_seed(0))).logits


def test_voc_classes_take_the_published_rows_of_coco() -> None:
    assert initial.rows(VOC, COCO) == VOC_ROWS


def test_a_voc_network_scores_its_classes_as_the_coco_model_did(path: Path) -> None:
    old = write(path)
    torch.testing.assert_close(logits(start(path, VOC)), logits(old)[:, VOC_ROWS])


def test_a_network_starts_in_training_as_any_other(path: Path) -> None:
    write(path)
    built = start(path, VOC, frozen=("conv1",))
    assert built.training
    assert not any(p.requires_grad for p in built.backbone.body.conv1.parameters())
    assert built.head.weight.requires_grad


def test_a_class_without_a_counterpart_starts_afresh_and_is_named(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = write(path)
    built = start(path, ["dog", "unicorn", "cat"])
    output = capsys.readouterr().out
    assert "2 of 3 classes by name" in output
    assert "start from random values: unicorn" in output
    assert torch.equal(built.head.weight[[0, 2]], old.head.weight[[16, 15]])
    assert not (old.head.weight == built.head.weight[1]).all(1).any()
    assert 0.1 < built.head.queries[1].std() < 3


def test_rows_of_any_table_find_their_places_by_class() -> None:
    source_rows, fresh = torch.arange(80.0)[:, None].expand(80, 4), torch.full((3, 4), -1.0)
    moved = initial.by_class(fresh, source_rows, initial.rows(["sofa", "unicorn", "person"], COCO))
    assert moved[:, 0].tolist() == [57, -1, 0]
    assert bool((fresh == -1).all())


@pytest.mark.parametrize(
    ("name", "source_name"), [("Dining_Table", "diningtable"), ("tv", "tvmonitor"), ("a  B", "A b")]
)
def test_spelling_does_not_matter(name: str, source_name: str) -> None:
    assert initial.rows([name], ["other", source_name]) == [1]


def test_the_very_name_goes_before_a_synonym() -> None:
    assert initial.rows(["couch", "sofa"], ["sofa", "couch"]) == [1, 0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"width": 32}, "has width 16, but the settings say 32.*Set model.width to 16"),
        ({"heads": 4}, "has heads 2, but the settings say 4"),
        ({"feedforward": 64}, "has feedforward 32"),
        ({"decoder_layers": 1}, "has decoder_layers 2"),
        ({"backbone": "tf_efficientnet_lite0"}, "has backbone test_resnet, but the settings say tf_efficientnet_lite0"),
    ],
)
def test_another_network_is_refused_in_words(change: dict[str, Any], words: str, path: Path) -> None:
    write(path)
    with pytest.raises(SadclError, match=words):
        start(path, VOC, **change)


def test_a_backbone_that_ends_early_does_not_start_a_whole_one(path: Path) -> None:
    write(path, dilated=False, output_stride=16)
    with pytest.raises(SadclError, match="The initial model lacks backbone"):
        start(path, VOC)


def test_a_damaged_model_is_refused(path: Path) -> None:
    write(path)
    damaged = path.read_bytes()
    path.write_bytes(damaged[: len(damaged) // 2])
    with pytest.raises(SadclError, match="can't be read"):
        start(path, VOC)


def test_a_head_of_another_kind_takes_the_backbone_and_says_so(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = write(path)
    built = start(path, VOC, head="pooling", width=8)
    assert torch.equal(built.backbone.body.bn1.weight, old.backbone.body.bn1.weight)
    assert torch.equal(built.backbone.body.conv1[0].weight, old.backbone.body.conv1[0].weight)
    assert "the head from random values" in capsys.readouterr().out


@pytest.mark.parametrize("ending", ["safetensors", "pth"])
def test_a_file_of_backbone_weights_starts_the_backbone_alone(ending: str, tmp_path: Path) -> None:
    state = Network(MODEL, 2).backbone.body.state_dict()
    path = tmp_path / f"start.{ending}"
    torch.save(state, path) if ending == "pth" else save_file(state, path)
    assert torch.equal(start(path, VOC).backbone.body.conv1[0].weight, state["conv1.0.weight"])


def test_a_file_that_is_not_there_is_a_sentence(path: Path) -> None:
    with pytest.raises(SadclError, match="can't be read"):
        start(path, VOC)


def test_the_start_is_known_by_its_digest_and_by_what_it_has_seen(path: Path) -> None:
    write(path)
    settings = MODEL.model_copy(update={"weights": str(path)})
    assert initial.inputs(settings) == {"weights": files.digest(path)}
    assert (initial.photos(settings) == PHOTOS).all()


def test_a_start_from_no_file_has_neither(path: Path) -> None:
    for name in ("package", "timm", "random", str(path)):
        settings = MODEL.model_copy(update={"weights": name})
        assert (initial.inputs(settings), initial.photos(settings).tolist()) == ({}, [])
