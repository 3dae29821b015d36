"""Every recipe is a whole params.yaml with a network that can be built, and says what it costs and what to expect."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from sadcl import params
from sadcl.evaluation.gate.verdict import IN_USE
from sadcl.evaluation.metrics import NAMES
from sadcl.model.dual_contrast import DualContrast
from sadcl.model.network import Network
from sadcl.model.network_size import network_size
from tests.paths import REPOSITORY

CLASSES = {"coco": 80, "voc2007": 20, "voc2012": 20, "nuswide": 81, "vg500": 500, "scenes": 10, "demo": 10}
"""By how a recipe's name begins."""
PUBLISHED = {"stage 1": 193_579_088, "stage 2": 200_037_456}
"""Trained parameters with 80 classes, of the authors' logs (method, section 2.5)."""
A_CLASS = {"stage 1": 2048 + 2048 + 1, "stage 2": 2048 + 2048 + 1 + 2048}
"""What one class more adds: its query, its row of the linear map with a bias; in stage 2 its prototype."""
RECIPES = sorted(path for path in (REPOSITORY / params.RECIPES).glob("*.yaml") if not path.stem.startswith("tuned-"))


def head_cost(path: Path) -> str:
    """The sentence about cost at a recipe's head."""
    return head_comment(path).partition("Cost: ")[2].partition("Expected: ")[0]


def head_comment(path: Path) -> str:
    """The comment lines before the first setting."""
    lines = path.read_text(encoding="utf-8").splitlines()
    end = next(i for i, line in enumerate(lines) if not line.startswith("#"))
    return "\n".join(lines[:end])


recipe = pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)


def test_the_named_recipes_are_there() -> None:
    papers = {"coco2014-r101-448", "coco2014-r101-448-576", "voc2007-r101-448", "voc2012-r101-448"}
    stronger = {"r101v2-448", "tresnet_l-448-mldecoder", "effnetv2_s-448", "swin_l-384-q2l", "vitl-clip-336"}
    papers |= {f"coco2014-{name}" for name in stronger}
    papers |= {"coco2017-r101-448", "nuswide-r101-448", "vg500-r101-576"}
    assert papers | {"demo", "scenes", "coco-mini"} <= {path.stem for path in RECIPES}


@recipe
def test_a_recipe_is_a_whole_params_file(path: Path) -> None:
    params.load(path=path)


@recipe
def test_a_recipe_says_in_its_head_what_it_costs_and_what_to_expect(path: Path) -> None:
    head = head_comment(path)
    assert "Cost: " in head
    assert "Expected: " in head


@recipe
def test_a_recipe_gates_and_shows_figures_that_evaluate_computes(path: Path) -> None:
    gate = params.load(path=path).gate
    assert {rule.metric for rule in gate.rules if rule.kind != "per class"} <= {*NAMES, *IN_USE}
    assert gate.published is None or set(gate.published.figures) <= set(NAMES)


@recipe
def test_a_recipe_gates_against_a_bound_and_the_champion(path: Path) -> None:
    rules = params.load(path=path).gate.rules
    assert {rule.kind for rule in rules} >= {"absolute", "relative", "per class"}
    assert all(rule.at_least is not None for rule in rules if rule.kind == "absolute")


@recipe
def test_a_recipe_searches_settings_that_it_has(path: Path) -> None:
    settings = params.load(path=path)
    for key in settings.tune.space:
        section, name = key.split(".")
        assert hasattr(params.section(settings, section), name), key


def test_a_coco_recipe_names_a_folder_for_each_annotation_file() -> None:
    for path in RECIPES:
        ingest = params.load(path=path).ingest
        if ingest.format == "coco":
            assert set(ingest.annotations) == set(ingest.images), path.stem


@recipe
def test_a_recipes_network_gives_a_logit_a_class(path: Path) -> None:
    model, classes = params.load(path=path).model, class_count(path)
    side = model.for_test().side
    logits = whole(path).network.eval()(torch.empty(2, 3, side, side, device="meta")).logits
    assert logits.shape == (2, classes)


@pytest.mark.parametrize("path", [path for path in RECIPES if "-r101-" in path.stem], ids=lambda path: path.stem)
def test_a_papers_recipe_trains_as_many_parameters_as_the_released_network(path: Path) -> None:
    """No difference is left to explain: what the number of classes adds is all that changes."""
    module, more = whole(path), class_count(path) - 80
    counts = {"stage 1": trained(module.network), "stage 2": trained(module)}
    assert counts == {stage: PUBLISHED[stage] + more * A_CLASS[stage] for stage in counts}


@pytest.mark.parametrize("path", [path for path in RECIPES if "-r101-" in path.stem], ids=lambda path: path.stem)
def test_a_papers_recipe_has_every_tensor_of_the_released_network(path: Path) -> None:
    """The number of elements agrees too, frozen tensors and statistics included.

    A recipe's network lacks the released file's table of positions (computed anew for each size) and its memory (the
    trainer's); the released one lacks the counters of batches, which frozen norms do not need.
    """
    listed = json.loads((REPOSITORY / "tests/golden/r101_names.json").read_text())["SADCL"]["state_dict"]
    sizes = {
        name: torch.Size(shape).numel() for name, shape, _ in listed if name not in ("backbone.1.pe", "memorybank")
    }
    own_sizes = {k: v.numel() for k, v in whole(path).state_dict().items() if not k.endswith("num_batches_tracked")}
    assert len(own_sizes) == len(sizes)
    assert sum(own_sizes.values()) == sum(sizes.values()) + (class_count(path) - 80) * A_CLASS["stage 2"]


@pytest.mark.parametrize(
    "path", [path for path in RECIPES if "GB in training" in head_cost(path)], ids=lambda path: path.stem
)
def test_a_recipes_head_says_what_its_network_costs(path: Path) -> None:
    settings = params.load(path=path)
    size = network_size(settings.model, class_count(path))
    needed = size.training_bytes(settings.pretrain.batch, settings.pretrain.precision)
    figures = (f"{size.parameters / 1e6:.1f} M parameters", f"{size.multiply_adds / 1e9:.1f} G multiply-adds")
    for text in (*figures, f"about {needed / 1e9:.0f} GB"):
        assert text in head_cost(path)


def test_a_voc_recipe_starts_from_the_coco_recipes_network() -> None:
    names = ("coco2014", "voc2007", "voc2012")
    coco, *others = [params.load(path=REPOSITORY / f"recipes/{name}-r101-448.yaml").model for name in names]
    for model in others:
        assert model.weights.endswith("/weights.safetensors")
        assert model.model_copy(update={"weights": coco.weights}) == coco


def whole(path: Path) -> DualContrast:
    """All of a recipe's network in shapes only; nothing is downloaded."""
    model, classes = params.load(path=path).model, class_count(path)
    with torch.device("meta"):
        return DualContrast(Network(model, classes, start=False), torch.empty(classes, model.width), model.embedding)


def trained(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def class_count(path: Path) -> int:
    return next(count for start, count in CLASSES.items() if path.stem.startswith(start))
