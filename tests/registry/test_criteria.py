"""Acceptance criteria: their digest, what changed between two of them, and the tag that holds them."""

import json
from dataclasses import replace

import pytest

from sadcl.errors import SadclError
from sadcl.registry.criteria import LARGEST, Acceptance, Criteria, changes, read_acceptance

BASE = Criteria(
    rules=[{"kind": "absolute", "metric": "mAP", "at_least": 60.0, "by": "value", "margin": 0.0}],
    threshold=0.5, corruptions=[], photos=1000, classes=3, test_list="1" * 64, labels="2" * 64, shards="3" * 64,
    positives={"cat": 300, "dog": 200, "kite": 100},
)  # fmt: skip
ACCEPTANCE = Acceptance(BASE, "rita", "the rules of the team", "2026-11-28T10:00:00+00:00")
LOWER = [{**BASE.rules[0], "at_least": 40.0}]
MORE = {"cat": 300, "dog": 210, "kite": 90}


@pytest.mark.parametrize(
    ("changed", "sentences"),
    [
        ({}, []),
        (
            {"rules": LOWER},
            ["Rule removed: kind absolute, metric mAP, at least 60.0, by value",
             "Rule added: kind absolute, metric mAP, at least 40.0, by value"],
        ),
        ({"rules": []}, ["Rule removed: kind absolute, metric mAP, at least 60.0, by value"]),
        ({"threshold": 0.4}, ["The threshold of precision and recall is 0.4, before 0.5"]),
        ({"corruptions": ["blur"]}, ["Models are scored on corruptions: blur; before: none"]),
        ({"photos": 500, "test_list": "4" * 64}, ["The test set has 500 photos, before 1,000"]),
        ({"test_list": "4" * 64}, ["The test set has other photos: 1,000 as before, but not the same ones"]),
        ({"shards": "4" * 64}, ["The test photos have other pixels: they were prepared differently, or exchanged"]),
        ({"classes": 4}, ["There are 4 classes, before 3"]),
        ({"labels": "4" * 64}, ["The labels of the test photos have changed"]),
        (
            {"labels": "4" * 64, "positives": MORE, "shards": "5" * 64},
            ["The labels of the test photos have changed; photos by class: dog 210 (before 200), kite 90 (before 100)"],
        ),
    ],
)  # fmt: skip
def test_every_change_is_a_sentence_and_another_digest(changed: dict[str, object], sentences: list[str]) -> None:
    after = replace(BASE, **changed)  # type: ignore[arg-type]
    assert changes(BASE, after) == sentences
    assert (after.digest == BASE.digest) == (not changed)


def test_the_order_of_rules_and_their_settings_is_no_change() -> None:
    pair = replace(BASE, rules=[*BASE.rules, *LOWER])
    turned = replace(BASE, rules=[dict(reversed(rule.items())) for rule in reversed(pair.rules)])
    assert (turned.digest, changes(pair, turned)) == (pair.digest, [])
    assert replace(pair, rules=[*pair.rules, LOWER[0]]).digest == pair.digest


def test_the_tag_gives_back_what_was_accepted_in_any_order_of_its_fields() -> None:
    assert read_acceptance(ACCEPTANCE.text()) == ACCEPTANCE
    turned = json.dumps(dict(reversed(json.loads(ACCEPTANCE.text()).items())))
    accepted = read_acceptance(turned)
    assert accepted is not None
    assert accepted.criteria.digest == BASE.digest
    assert changes(accepted.criteria, BASE) == []


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[" * 3000, "null", ACCEPTANCE.text()[:-1], ACCEPTANCE.text().replace("rita", "r" * LARGEST),
     ACCEPTANCE.text().replace('"user": "rita"', '"user": 5'), ACCEPTANCE.text().replace("2026-11-28", "some day"),
     ACCEPTANCE.text().replace('"photos"', '"pictures"')],
)  # fmt: skip
def test_a_tag_of_another_form_accepts_nothing(text: str) -> None:
    assert read_acceptance(text) is None


def test_criteria_that_the_registry_cannot_hold_are_a_sentence() -> None:
    long = replace(ACCEPTANCE, reason="because " * 1000)
    with pytest.raises(SadclError, match=r"have [\d,]+ characters, and the registry keeps 5,000.*Shorten"):
        long.text()
