"""Aliases: each model has its own, and none looks like another."""

import pytest

from sadcl.guard import alias_rules

CYRILLIC, FULL_WIDTH, LONG_S = "\u0441hampion", "\uff43hampion", "previou\u017f"


@pytest.mark.parametrize(
    ("model", "alias"),
    [("tiny", "challenger"), ("tiny", "mine-2.1_b"), ("tiny-production", "champion"), ("tiny-production", "previous")],
)
def test_plain_aliases_are_allowed(model: str, alias: str) -> None:
    assert alias_rules.problem(model, alias) is None


@pytest.mark.parametrize("model", ["tiny", "tiny-production", "tiny-Production "])
@pytest.mark.parametrize(
    "alias",
    [
        CYRILLIC, FULL_WIDTH, LONG_S, "Champion", "champion ", "champion\n", "cham\u200bpion", "", "-", "champi0n",
        "champlon", "charnpion", "champion.", "chall3nger", "prev1ous",
    ],
)  # fmt: skip
def test_an_alias_that_looks_like_another_is_refused(model: str, alias: str) -> None:
    assert alias_rules.problem(model, alias)


@pytest.mark.parametrize(("model", "alias"), [("tiny", "champion"), ("tiny-production", "challenger")])
def test_an_alias_of_the_other_model_is_refused(model: str, alias: str) -> None:
    assert alias_rules.problem(model, alias)
