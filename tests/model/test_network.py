"""The whole network: the paper's sizes, every precision, and what stage 2 adds."""

import json

import pytest
import torch

from sadcl import params
from sadcl.errors import SadclError
from sadcl.model.dual_contrast import DualContrast
from sadcl.model.heads import HEADS
from sadcl.model.network import Network
from tests.paths import GOLDEN_FOLDER

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


def network(**change: object) -> Network:
    torch.manual_seed(0)
    return Network(SMALL.model_copy(update=change), 4)


def trained(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


@pytest.fixture(scope="module")
def paper() -> DualContrast:
    with torch.device("meta"):
        return DualContrast(Network(PAPER, 80, start=False), torch.empty(80, 2048), 1024)


def test_the_papers_network_has_the_papers_parameters(paper: DualContrast) -> None:
    assert trained(paper.network) == 193_579_088
    assert trained(paper) == 200_037_456


def test_each_part_has_the_released_size(paper: DualContrast) -> None:
    parts = json.loads((GOLDEN_FOLDER / "r101_names.json").read_text())["SADCL"]["parts"]
    head = paper.network.head
    modules = {
        "backbone": paper.network.backbone,
        "transformer": torch.nn.ModuleList([head.encoder, head.decoder, head.norm]),
        "query_embed": torch.nn.ParameterList([head.queries]),
        "fc": torch.nn.ParameterList([head.weight, head.bias]),
        "proj_head": paper.projector,
        "prototype": torch.nn.ParameterList([paper.prototypes]),
    }
    assert {name: trained(part) for name, part in modules.items()} == {
        name: parts[name]["trainable"] for name in modules
    }
    assert not list(head.input_proj.parameters())


def test_the_backbone_has_the_released_names(paper: DualContrast) -> None:
    released = json.loads((GOLDEN_FOLDER / "r101_names.json").read_text())["SADCL"]["state_dict"]
    start = "backbone.0.body."
    released_shapes = {name.removeprefix(start): tuple(shape) for name, shape, _ in released if name.startswith(start)}
    body = paper.network.backbone.body.state_dict()
    assert {k: tuple(v.shape) for k, v in body.items() if not k.endswith("num_batches_tracked")} == released_shapes


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_mixed_precision_stays_finite(head: str, dtype: torch.dtype) -> None:
    built = network(head=head).train()
    with torch.autocast("cpu", dtype):
        out = built(torch.randn(2, 3, 64, 32), attention=True)
    out.logits.float().square().mean().backward()
    assert torch.isfinite(out.logits).all()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in built.parameters())
    if out.attention is not None:
        torch.testing.assert_close(out.attention.sum((2, 3)), torch.ones(2, 4), atol=1e-5, rtol=0)


@pytest.mark.parametrize("head", HEADS)
def test_double_precision_agrees_with_single(head: str) -> None:
    built, images = network(head=head).eval(), torch.randn(2, 3, 64, 96)
    with torch.inference_mode():
        single = built(images).logits
        double = built.double()(images.double()).logits
    assert double.dtype == torch.float64
    torch.testing.assert_close(single.double(), double, atol=1e-4, rtol=1e-4)


def test_serving_first_does_not_spoil_training() -> None:
    built = network(output_stride=8)
    with torch.inference_mode():
        built.eval()(torch.randn(1, 3, 88, 56))
    built.train()(torch.randn(2, 3, 88, 56)).logits.sum().backward()


def test_activation_maps_of_a_linear_head_say_which_positions_speak_for_a_label() -> None:
    head = network(head="linear").eval().head
    head.linear.weight.data.zero_()
    head.linear.weight.data[0, 3], head.linear.weight.data[1, 3] = 2.0, -2.0
    maps = torch.zeros(1, head.linear.in_features, 2, 3)
    maps[0, 3, 1, 2], maps[0, 3, 0, 0] = 3.0, 1.0
    out = head(maps, attention=True)
    assert out.features is None
    assert out.attention[0, 0].tolist() == [[0.25, 0, 0], [0, 0, 0.75]]
    # nothing speaks for these: the maps are even
    torch.testing.assert_close(out.attention[0, 1:], torch.full((3, 2, 3), 1 / 6))


def test_stage_two_gives_every_embedding_in_one_pass() -> None:
    module = DualContrast(network(), torch.randn(4, 32), 16).train()
    memory = torch.randn(5, 32)
    out = module(torch.randn(2, 3, 32, 32), memory)
    assert out.embeddings.shape == (2, 4, 16)
    assert out.memory_embeddings.shape == (5, 16)
    assert out.prototype_embeddings.shape == (4, 16)
    torch.testing.assert_close(out.embeddings, module.projector(out.features))
    sum(part.square().sum() for part in out).backward()
    assert all(p.grad is not None for p in module.parameters() if p.requires_grad)


def test_stage_two_runs_without_a_memory() -> None:
    assert DualContrast(network(), torch.zeros(4, 32), 16)(torch.zeros(2, 3, 32, 32)).memory_embeddings is None


def test_the_prototypes_given_stay_as_they_are() -> None:
    given = torch.ones(4, 32)
    module = DualContrast(network(), given, 16)
    with torch.no_grad():
        module.prototypes.zero_()
    assert bool((given == 1).all())


def test_a_head_without_features_has_no_stage_two() -> None:
    with pytest.raises(SadclError, match="no label-level features"):
        DualContrast(network(head="pooling"), torch.zeros(4, 32), 16)(torch.zeros(2, 3, 32, 32))


@pytest.mark.parametrize(("change", "words"), [({"head": "x"}, "no head 'x'"), ({"heads": 3}, "multiple of the 3")])
def test_a_wrong_setting_is_a_sentence(change: dict[str, object], words: str) -> None:
    with pytest.raises(SadclError, match=words):
        network(**change)
