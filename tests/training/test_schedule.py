"""Rates and weight decay of single parameters: layers of the backbone, norms, biases and the head, in both stages."""

import pytest
import torch
from torch import nn

from sadcl import params
from sadcl.model.dual_contrast import DualContrast
from sadcl.model.network import Network
from sadcl.training import schedule
from tests.paths import REPOSITORY

SETTINGS = params.load(path=REPOSITORY / "recipes/demo.yaml")
FIT = SETTINGS.pretrain.model_copy(update={"lr": 1e-3, "backbone_lr": 0.5, "weight_decay": 0.02})


def build(name: str, stage: str = "pretrain", **change: object) -> nn.Module:
    model = SETTINGS.model.model_copy(
        update={"backbone": name, "weights": "random", "output_stride": 32, "side": 64, "frozen": ()} | change
    )
    network = Network(model, 5)
    return network if stage == "pretrain" else DualContrast(network, torch.zeros(5, model.width), model.embedding)


def of_parameters(module: nn.Module, **change: object) -> dict[str, tuple[float, float]]:
    """Peak learning rate and weight decay of each parameter."""
    adamw, _ = schedule.optimiser(module, FIT.model_copy(update=change), steps=10)
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    groups = adamw.param_groups
    return {names[id(p)]: (group["max_lr"], group["weight_decay"]) for group in groups for p in group["params"]}


@pytest.mark.parametrize(("stage", "prefix"), [("pretrain", ""), ("train", "network.")])
def test_each_layer_below_the_last_has_a_smaller_rate(stage: str, prefix: str) -> None:
    by_parameter = of_parameters(build("test_vit", stage), layer_decay=0.8)
    body = f"{prefix}backbone.body."
    for block in range(6):
        assert by_parameter[f"{body}blocks.{block}.attn.qkv.weight"] == (pytest.approx(5e-4 * 0.8 ** (5 - block)), 0.02)
    assert by_parameter[f"{body}patch_embed.proj.weight"][0] == pytest.approx(5e-4 * 0.8**6)
    assert by_parameter[f"{body}norm.weight"][0] == pytest.approx(5e-4)
    others = {rate for name, (rate, _) in by_parameter.items() if not name.startswith(body)}
    assert others == {1e-3}


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "tf_efficientnet_lite0"])
def test_layers_of_a_convolutional_network_have_rising_rates(name: str) -> None:
    module = build(name)
    by_parameter = of_parameters(module, layer_decay=0.5)
    rates = [by_parameter[name][0] for name, _ in module.named_parameters() if name.startswith("backbone.")]
    assert rates == sorted(rates)
    assert rates[-1] == pytest.approx(5e-4)
    assert rates[0] < 5e-4 / 4


@pytest.mark.parametrize("stage", ["pretrain", "train"])
@pytest.mark.parametrize("name", ["test_vit", "test_resnet"])
def test_norms_and_biases_and_positions_are_spared_weight_decay(stage: str, name: str) -> None:
    module = build(name, stage)
    by_parameter = of_parameters(module, decay_norms=False)
    spared = {name for name, (_, decay) in by_parameter.items() if decay == 0}
    norms = {
        f"{path}.{leaf}"
        for path, part in module.named_modules()
        if "Norm" in type(part).__name__
        for leaf, _ in part.named_parameters(recurse=False)
    }
    biases = {name for name in by_parameter if name.endswith(("bias", "pos_embed", "cls_token", "reg_token"))}
    assert norms
    assert spared >= norms | biases
    assert {decay for _, decay in by_parameter.values()} == {0.0, 0.02}
    assert all(
        decay == 0.02 for name, (_, decay) in by_parameter.items() if name.endswith(("conv2.weight", "qkv.weight"))
    )
    assert by_parameter.keys() == {name for name, p in module.named_parameters() if p.requires_grad}


def test_by_default_there_is_a_group_of_the_backbone_and_one_of_the_head() -> None:
    module = build("test_vit")
    adamw, cycle = schedule.optimiser(module, FIT, steps=10)
    assert [(group["max_lr"], group["weight_decay"]) for group in adamw.param_groups] == [(5e-4, 0.02), (1e-3, 0.02)]
    assert cycle.get_last_lr() == pytest.approx([5e-4 / 25, 1e-3 / 25])


def test_frozen_layers_have_no_group() -> None:
    frozen = build("test_vit", frozen=("patch_embed", "pos_embed", "cls_token", "blocks.0"))
    by_parameter = of_parameters(frozen, layer_decay=0.8, decay_norms=False)
    assert min(rate for rate, _ in by_parameter.values()) == pytest.approx(5e-4 * 0.8**4)
    assert "backbone.body.blocks.0.attn.qkv.weight" not in by_parameter
