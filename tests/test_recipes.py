"""Every recipe is a whole params.yaml, and says in its head what it costs and what to expect."""

from pathlib import Path

import pytest

from sadcl import params
from sadcl.evaluation.metrics import NAMES

ROOT = Path(__file__).parent.parent
RECIPES = sorted(path for path in (ROOT / params.RECIPES).glob("*.yaml") if not path.stem.startswith("tuned-"))

recipe = pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)


def test_the_named_recipes_are_there() -> None:
    assert {"demo", "scenes", "coco-mini", "coco2014-r101-448", "coco2014-r101-576"} <= {path.stem for path in RECIPES}


@recipe
def test_a_recipe_is_a_whole_params_file(path: Path) -> None:
    params.load(path=path)


@recipe
def test_a_recipe_says_in_its_head_what_it_costs_and_what_to_expect(path: Path) -> None:
    head = head_comment(path)
    assert "Cost: " in head
    assert "Expected: " in head


@recipe
def test_a_recipe_gates_and_shows_figures_that_evaluate_makes(path: Path) -> None:
    gate = params.load(path=path).gate
    assert {rule.metric for rule in gate.rules} <= set(NAMES)
    assert gate.published is None or set(gate.published.figures) <= set(NAMES)


@recipe
def test_an_absolute_rule_has_a_bound_and_a_relative_one_takes_the_champions(path: Path) -> None:
    for rule in params.load(path=path).gate.rules:
        assert ("champion" in rule.comparison) == (rule.bound is None)


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


def head_comment(path: Path) -> str:
    """The comment lines before the first setting."""
    lines = path.read_text(encoding="utf-8").splitlines()
    end = next(i for i, line in enumerate(lines) if not line.startswith("#"))
    return "\n".join(lines[:end])
