"""The gate: every result and its words, and that nothing passes silently."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sadcl import params
from sadcl.evaluation import gate
from sadcl.evaluation.gate import NotApplicable, Refusal, judge

NOBODY = NotApplicable("nobody is champion yet")


def rule(comparison="at least", bound=None, margin=0.0, metric="mAP"):
    return params.Rule(metric=metric, comparison=comparison, bound=bound, margin=margin)


def only(rule, figures, champion=NOBODY):
    (row,) = judge([rule], figures, champion)["rules"]
    return row


@pytest.mark.parametrize(
    ("asked", "value", "champion", "result"),
    [
        (rule("at least", 80.0), 84.1, NOBODY, "pass"),
        (rule("at least", 80.0), 80.0, NOBODY, "pass"),
        (rule("at least", 80.0), 79.99, NOBODY, "fail"),
        (rule("at least", 80.0, 0.5), 79.5, NOBODY, "pass"),
        (rule("at least", 80.0, 0.5), 79.49, NOBODY, "fail"),
        (rule("at most", 10.0), 10.0, NOBODY, "pass"),
        (rule("at most", 10.0), 10.1, NOBODY, "fail"),
        (rule("at most", 10.0, 0.25), 10.25, NOBODY, "pass"),
        (rule("at most", 10.0, 0.25), 10.26, NOBODY, "fail"),
        (rule("not below champion"), 84.0, 84.0, "pass"),
        (rule("not below champion"), 83.9, 84.0, "fail"),
        (rule("not below champion", margin=1.0), 83.0, 84.0, "pass"),
        (rule("not below champion", margin=1.0), 82.9, 84.0, "fail"),
        (rule("not above champion"), 84.0, 84.0, "pass"),
        (rule("not above champion"), 84.1, 84.0, "fail"),
        (rule("not above champion", margin=0.5), 84.5, 84.0, "pass"),
    ],
)
def test_each_comparison_on_both_sides_of_its_limit(asked, value, champion, result):
    reigning = champion if isinstance(champion, NotApplicable) else {"mAP": champion}
    held = judge([asked], {"mAP": value}, reigning)
    assert held["rules"][0]["result"] == held["verdict"] == result
    assert held["rules"][0]["value"] == value
    assert held["rules"][0]["bound"] == (asked.bound if asked.bound is not None else champion)


@pytest.mark.parametrize(
    ("asked", "value", "words"),
    [
        (rule("at least", 80.0), 84.1, "mAP 84.10 is at least 80.00 (84.10 >= 80.00 - 0.00)."),
        (rule("at least", 80.0), 70.0, "mAP 70.00 is below 80.00 (70.00 < 80.00 - 0.00)."),
        (
            rule("at least", 80.0, 1.0),
            79.2,
            "mAP 79.20 is at least 80.00 less a margin of 1.00 (79.20 >= 80.00 - 1.00).",
        ),
        (rule("at most", 80.0, 1.0), 82.0, "mAP 82.00 is above 80.00 plus a margin of 1.00 (82.00 > 80.00 + 1.00)."),
        (
            rule("not below champion", margin=1.0),
            83.5,
            "mAP 83.50 is not below the champion's 84.00 less a margin of 1.00 (83.50 >= 84.00 - 1.00).",
        ),
        (rule("not above champion"), 84.5, "mAP 84.50 is above the champion's 84.00 (84.50 > 84.00 + 0.00)."),
        (rule("at least", 80.0), 79.9996, "mAP 79.9996 is below 80.0000 (79.9996 < 80.0000 - 0.0000)."),
    ],
)
def test_words_that_a_reviewer_can_check(asked, value, words):
    assert only(asked, {"mAP": value}, {"mAP": 84.0})["words"] == words


def test_without_a_champion_relative_rules_do_not_apply_and_the_others_decide():
    rules = [rule("at least", 80.0), rule("not below champion")]
    held = judge(rules, {"mAP": 84.0}, NOBODY)
    assert [row["result"] for row in held["rules"]] == ["pass", "not applicable"]
    assert held["verdict"] == "pass"
    assert held["words"] == "The model passes: 1 rule of 2 held; 1 rule not applicable."
    assert held["rules"][1]["words"] == "mAP is not compared with a champion: nobody is champion yet."
    assert held["rules"][1]["bound"] is None
    assert judge(rules, {"mAP": 79.0}, NOBODY)["verdict"] == "fail"


def test_no_rule_that_applies_is_never_a_pass():
    held = judge([rule("not below champion"), rule("not above champion")], {"mAP": 84.0}, NOBODY)
    assert held["verdict"] == "refused"
    assert "no rule could be applied" in held["words"]
    assert judge([], {"mAP": 84.0}, NOBODY)["verdict"] == "refused"


def test_a_refusal_outweighs_failures_and_passes():
    rules = [rule("at least", 80.0), rule("at least", 99.0), rule("not below champion")]
    held = judge(rules, {"mAP": 84.0}, Refusal("its scores are gone"))
    assert [row["result"] for row in held["rules"]] == ["pass", "fail", "refused"]
    assert held["verdict"] == "refused"
    assert held["words"] == "The gate refuses to judge: 1 rule of 3 could not be judged."
    assert "its scores are gone" in held["rules"][2]["words"]


@pytest.mark.parametrize(
    ("asked", "figures", "champion", "words"),
    [
        (rule("at least", 80.0), {"mAP": math.nan}, NOBODY, "the model's value is nan"),
        (rule("at least", 80.0), {"mAP": math.inf}, NOBODY, "the model's value is inf"),
        (rule("not below champion"), {"mAP": 84.0}, {"mAP": math.nan}, "the champion's value is nan"),
        (rule("at least", 80.0, metric="map"), {"mAP": 84.0}, NOBODY, "nobody knows this metric; known: mAP"),
        (rule("not below champion"), {"mAP": 84.0}, {"OF1": 1.0}, "nobody knows this metric; known: OF1"),
        (rule("at least"), {"mAP": 84.0}, NOBODY, "needs a bound that is a number, but it is None"),
        (rule("at most", math.nan), {"mAP": 84.0}, NOBODY, "needs a bound that is a number, but it is nan"),
        (rule("at most", math.inf), {"mAP": 84.0}, NOBODY, "needs a bound that is a number, but it is inf"),
        (rule("at least", 80.0, math.inf), {"mAP": 4.0}, NOBODY, "the margin must be a number"),
        (rule("at least", 80.0), Refusal("the model saw 3 of the test images"), NOBODY, "saw 3 of the test"),
        (rule("not below champion"), Refusal("the model saw 3"), NOBODY, "the model saw 3"),
        (
            params.Rule.model_construct(metric="mAP", comparison="about", bound=1.0, margin=0.0),
            {"mAP": 84.0},
            NOBODY,
            "nobody knows the comparison about",
        ),
        (
            params.Rule.model_construct(metric="mAP", comparison="at least", bound=90.0, margin=-9.0),
            {"mAP": 84.0},
            NOBODY,
            "not negative",
        ),
    ],
)
def test_what_cannot_be_judged_is_refused_in_words(asked, figures, champion, words):
    held = judge([asked], figures, champion)
    assert held["verdict"] == held["rules"][0]["result"] == "refused"
    assert words in held["rules"][0]["words"]
    assert json.loads(json.dumps(held, allow_nan=False)) == held


def test_every_comparison_that_settings_allow_is_known_to_the_gate():
    allowed = params.Rule.model_fields["comparison"].annotation.__args__
    assert set(allowed) == set(gate.COMPARISONS)


numbers = st.one_of(st.floats(0, 100), st.sampled_from([math.nan, math.inf]))
states = st.one_of(st.builds(dict, mAP=numbers), st.just(Refusal("gone")))


@settings(deadline=None)
@given(
    st.lists(
        st.builds(
            params.Rule,
            metric=st.sampled_from(["mAP", "other"]),
            comparison=st.sampled_from(list(gate.COMPARISONS)),
            bound=st.none() | numbers,
            margin=st.floats(0, 5),
        ),
        max_size=4,
    ),
    states,
    st.one_of(states, st.just(NOBODY)),
)
def test_a_pass_means_that_a_rule_held_and_none_did_otherwise(rules, figures, champion):
    held = judge(rules, figures, champion)
    results = [row["result"] for row in held["rules"]]
    assert len(results) == len(rules)
    assert (held["verdict"] == "pass") == ("pass" in results and not {"fail", "refused"} & set(results))
    assert (held["verdict"] == "fail") == ("fail" in results and "refused" not in results)
    assert all(row["words"].endswith(".") for row in held["rules"])
    json.dumps(held, allow_nan=False)


@settings(deadline=None)
@given(st.permutations([rule("at least", b) for b in (10.0, 50.0, 90.0)]), st.floats(0, 100))
def test_the_order_of_rules_means_nothing(rules, value):
    assert judge(rules, {"mAP": value}, NOBODY)["verdict"] == ("pass" if value >= 90 else "fail")


@pytest.mark.parametrize(("better", "worse"), [(90.0, 80.0), (80.0, 70.0)])
def test_a_better_model_never_fares_worse(better, worse):
    order = ["fail", "pass"]
    for asked in (rule("at least", 75.0), rule("not below champion", margin=2.0)):
        results = [only(asked, {"mAP": value}, {"mAP": 80.0})["result"] for value in (worse, better)]
        assert order.index(results[0]) <= order.index(results[1])
