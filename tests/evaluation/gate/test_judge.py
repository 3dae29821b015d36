"""The gate: every result and its words, that nothing passes silently, and that noise neither passes nor fails."""

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import norm

from sadcl import params
from sadcl.evaluation.gate.evidence import Evidence, NotApplicable, Refusal, Sample
from sadcl.evaluation.gate.judge import judge
from sadcl.evaluation.gate.rules import RULES

NO_CHAMPION = NotApplicable("there is no champion yet")
CLASSES = ("cat", "dog", "owl")
IMAGES = 1000
Figures = dict[str, float] | Refusal | NotApplicable


POSITIVES = np.array([10_000, 5000, 2000])
"""So many that no allowance is made for few."""


def sample(figures: Figures, spread: float = 0.0, ap: tuple[float, ...] = (80, 70, 60), seed: int = 1) -> Any:
    """A model whose figures move by ``spread`` (one standard error) on other images of the same kind."""
    if not isinstance(figures, dict):
        return figures
    rng, noise = np.random.default_rng(seed), spread * norm.ppf((np.arange(1000) + 0.5) / 1000).round(3)
    draws = {name: value + rng.permutation(noise) for name, value in figures.items()}
    each = np.array(ap, float)
    return Sample(figures, draws, each, each[:, None] + rng.permuted(np.tile(noise, (3, 1)), axis=1), POSITIVES)


def judge_figures(
    rules: list[params.Rule], model: Figures, champion: Figures = NO_CHAMPION, spread: float = 0.0, **more: Any
) -> dict[str, Any]:
    model_sample, champion_sample = sample(model, spread), sample(champion, spread, seed=2)
    evidence = Evidence(model_sample, champion_sample, CLASSES, IMAGES)
    return judge(rules, Evidence(**{**vars(evidence), **more}))


def absolute(at_least: float | None = None, margin: float = 0.0, metric: str = "mAP", **more: Any) -> params.Absolute:
    return params.Absolute(kind="absolute", metric=metric, at_least=at_least, margin=margin, **more)


def relative(margin: float = 0.0, metric: str = "mAP", **more: Any) -> params.Relative:
    return params.Relative(kind="relative", metric=metric, margin=margin, **more)


def over_probe(at_least: float = 0.0, **more: Any) -> params.Probe:
    return params.Probe(kind="probe", at_least=at_least, **more)


@pytest.mark.parametrize(
    ("rule", "spread", "result", "words"),
    [
        (over_probe(), 0.1, "pass", "mAP 82.00 less the linear probe's 80.00: +2.00, at worst +"),
        (over_probe(3.0), 0.1, "fail", "is below +3.00"),
        (over_probe(1.9), 1.0, "undecided", "too wide to tell"),
        (over_probe(1.9, by="value"), 1.0, "pass", "is at least +1.90"),
        (over_probe(-1.0), 0.1, "pass", "is at least -1.00"),
    ],
)
def test_a_model_is_compared_with_the_linear_probe(rule: params.Probe, spread: float, result: str, words: str) -> None:
    judged = judge_figures([rule], {"mAP": 82.0}, spread=spread, probe=sample({"mAP": 80.0}, spread, seed=2))["rules"][
        0
    ]
    assert judged["result"] == result
    assert words in judged["words"]


def test_a_probe_that_is_missing_or_leaks_passes_nothing() -> None:
    missing = judge_figures([over_probe()], {"mAP": 82.0})  # also where the probe is the model
    assert missing["rules"][0]["result"] == "not applicable"
    assert missing["verdict"] == "refused"
    leaked = judge_figures(
        [over_probe()], {"mAP": 82.0}, probe=Refusal("the linear probe saw 3 of the test images in training")
    )
    assert leaked["verdict"] == "refused"
    assert "saw 3 of the test images" in leaked["rules"][0]["words"]


@pytest.mark.parametrize("by", ["interval", "value"])
@pytest.mark.parametrize(
    ("rule", "value", "champion", "result"),
    [
        (absolute(80.0), 84.1, NO_CHAMPION, "pass"),
        (absolute(80.0), 80.0, NO_CHAMPION, "pass"),
        (absolute(80.0), 79.99, NO_CHAMPION, "fail"),
        (absolute(80.0, 0.5), 79.5, NO_CHAMPION, "pass"),
        (absolute(80.0, 0.5), 79.49, NO_CHAMPION, "fail"),
        (absolute(at_most=10.0), 10.0, NO_CHAMPION, "pass"),
        (absolute(at_most=10.0), 10.1, NO_CHAMPION, "fail"),
        (absolute(at_most=10.0, margin=0.25), 10.25, NO_CHAMPION, "pass"),
        (absolute(at_most=10.0, margin=0.25), 10.26, NO_CHAMPION, "fail"),
        (relative(), 84.0, 84.0, "pass"),
        (relative(), 83.9, 84.0, "fail"),
        (relative(1.0), 83.0, 84.0, "pass"),
        (relative(1.0), 82.9, 84.0, "fail"),
    ],
)
def test_each_rule_on_both_sides_of_its_limit(
    rule: params.Absolute | params.Relative, value: float, champion: Any, result: str, by: str
) -> None:
    """Without noise there is no doubt."""
    champion_figures = champion if isinstance(champion, NotApplicable) else {"mAP": champion}
    judged = judge_figures([rule.model_copy(update={"by": by})], {"mAP": value}, champion_figures)
    assert judged["rules"][0]["result"] == judged["verdict"] == result
    assert judged["rules"][0]["value"] == value


@pytest.mark.parametrize(
    ("rule", "value", "words"),
    [
        (absolute(80.0, by="value"), 84.1, "mAP 84.10 is at least 80.00."),
        (absolute(80.0, by="value"), 70.0, "mAP 70.00 is below 80.00."),
        (absolute(80.0, 1.0, by="value"), 79.2, "mAP 79.20 is at least 79.00 (80.00 - 1.00)."),
        (absolute(at_most=80.0, margin=1.0, by="value"), 82.0, "mAP 82.00 is above 81.00 (80.00 + 1.00)."),
        (relative(1.0, by="value"), 83.5, "mAP 83.50 less the champion's 84.00: -0.50 is at least -1.00."),
        (relative(by="value"), 83.5, "mAP 83.50 less the champion's 84.00: -0.50 is below +0.00."),
        (absolute(80.0, by="value"), 79.9996, "mAP 79.9996 is below 80.0000."),
        (absolute(80.0), 84.1, "mAP 84.10, at worst 82.15, is at least 80.00."),
        (absolute(80.0), 70.0, "mAP 70.00, at best 71.95, is below 80.00."),
        (
            absolute(80.0, 0.5),
            80.0,
            "mAP 80.00 lies between 78.05 and 81.95, too wide to tell whether it is below 79.50 (80.00 - 0.50); "
            "about 14,000 more test images would.",
        ),
        (
            absolute(at_most=80.0),
            80.1,
            "mAP 80.10 lies between 78.15 and 82.05, too wide to tell whether it is above 80.00; "
            "100 times as many test images would not.",
        ),
    ],
)
def test_words_that_a_reviewer_can_check(rule: params.Rule, value: float, words: str) -> None:
    [row] = judge_figures([rule], {"mAP": value}, {"mAP": 84.0}, spread=1.0)["rules"]
    assert row["words"] == words


def test_no_interval_leaves_what_a_figure_can_be() -> None:
    [high] = judge_figures([absolute(50.0)], {"mAP": 99.9}, spread=5.0)["rules"]
    [low] = judge_figures([absolute(at_most=50.0)], {"mAP": 0.1}, spread=5.0)["rules"]
    assert (high["high"], low["low"]) == (100, 0)


def test_within_the_noise_the_gate_is_undecided_and_says_how_many_images_would_tell() -> None:
    judged = judge_figures([absolute(70.0), absolute(79.0)], {"mAP": 80.0}, spread=1.0)
    assert [row["result"] for row in judged["rules"]] == ["pass", "undecided"]
    assert judged["verdict"] == "undecided"
    reach = 80 - judged["rules"][1]["low"]
    assert judged["rules"][1]["more_images"] == pytest.approx(IMAGES * (reach**2 - 1), rel=0.05)
    assert judged["words"] == (
        "The gate can't decide: 1 rule of 2 is within the noise, "
        f"and about {judged['rules'][1]['more_images']:,} more test images would change that."
    )
    enough = judge_figures([absolute(79.0)], {"mAP": 80.0}, spread=1.0 / reach - 1e-6)
    assert enough["verdict"] == "pass"


def test_what_both_models_find_hard_is_no_noise_of_their_difference() -> None:
    shared = sample({"mAP": 80.0}, 3.0)
    behind = Sample({"mAP": 79.5}, {"mAP": shared.draws["mAP"] - 0.5}, shared.ap, shared.ap_draws, POSITIVES)
    evidence = Evidence(behind, shared, CLASSES, IMAGES)
    assert judge([relative(1.0)], evidence)["verdict"] == "pass"
    assert judge([relative(0.4)], evidence)["verdict"] == "fail"


def test_without_a_champion_relative_rules_do_not_apply_and_the_others_decide() -> None:
    rules = [absolute(80.0), relative(), params.PerClass(kind="per class", margin=1)]
    judged = judge_figures(rules, {"mAP": 84.0})
    assert [row["result"] for row in judged["rules"]] == ["pass", "not applicable", "not applicable"]
    assert judged["verdict"] == "pass"
    assert judged["words"] == "The model passes: 1 rule of 3 held; 2 rules not applicable."
    assert judged["rules"][1]["words"] == "mAP is not compared with a champion: there is no champion yet."
    assert judged["rules"][1]["bound"] is None
    assert judge_figures(rules, {"mAP": 79.0})["verdict"] == "fail"


def test_no_rule_that_applies_is_never_a_pass() -> None:
    judged = judge_figures([relative(), relative(metric="OF1")], {"mAP": 84.0, "OF1": 1.0})
    assert judged["verdict"] == "refused"
    assert "no rule is applicable" in judged["words"]
    assert judge_figures([], {"mAP": 84.0})["verdict"] == "refused"


def test_a_refusal_outweighs_a_failure_a_failure_a_doubt_and_a_doubt_a_pass() -> None:
    rules = [absolute(80.0), absolute(84.1), absolute(99.0), relative()]
    verdicts = [
        judge_figures(rules[:n], {"mAP": 84.0}, Refusal("its scores are gone"), spread=1.0) for n in (1, 2, 3, 4)
    ]
    assert [judged["verdict"] for judged in verdicts] == ["pass", "undecided", "fail", "refused"]
    assert verdicts[3]["words"] == "The gate refuses to judge: 1 rule of 4 could not be judged."
    assert "its scores are gone" in verdicts[3]["rules"][3]["words"]


@pytest.mark.parametrize(
    ("rule", "model", "champion", "words"),
    [
        (absolute(80.0), {"mAP": math.nan}, NO_CHAMPION, "the model's value is nan"),
        (absolute(80.0), {"mAP": math.inf}, NO_CHAMPION, "the model's value is inf"),
        (relative(), {"mAP": 84.0}, {"mAP": math.nan}, "the champion's value is nan"),
        (absolute(80.0, metric="map"), {"mAP": 84.0}, NO_CHAMPION, "there is no such metric, only mAP"),
        (relative(), {"mAP": 84.0}, {"OF1": 1.0}, "there is no such metric, only OF1"),
        (absolute(), {"mAP": 84.0}, NO_CHAMPION, "needs one bound, at_least or at_most, but it has none"),
        (absolute(1.0, at_most=2.0), {"mAP": 84.0}, NO_CHAMPION, "but it has 1.0 and 2.0"),
        (absolute(80.0), Refusal("the model saw 3 of the test images"), NO_CHAMPION, "saw 3 of the test"),
        (relative(), Refusal("the model saw 3"), NO_CHAMPION, "the model saw 3"),
        (params.PerClass(kind="per class", margin=1), Refusal("it is gone"), NO_CHAMPION, "it is gone"),
        (params.PerClass(kind="per class", margin=1), {"mAP": 84.0}, Refusal("it is gone"), "it is gone"),
    ],
)
def test_what_cannot_be_judged_is_refused_in_words(
    rule: params.Rule, model: Figures, champion: Figures, words: str
) -> None:
    judged = judge_figures([rule], model, champion)
    assert judged["verdict"] == judged["rules"][0]["result"] == "refused"
    assert words in judged["rules"][0]["words"]
    assert json.loads(json.dumps(judged, allow_nan=False)) == judged


def test_a_figure_that_no_resample_has_is_refused() -> None:
    single_draw = Sample(
        {"mAP": 80.0}, {"mAP": np.full(1000, np.nan)}, np.zeros(3), np.zeros((3, 1000)), np.array([1, 0, 0])
    )
    judged = judge([absolute(50.0)], Evidence(single_draw, NO_CHAMPION, CLASSES, 3))
    assert judged["verdict"] == "refused"
    assert "no interval" in judged["rules"][0]["words"]
    json.dumps(judged, allow_nan=False)


@pytest.mark.parametrize("settings", [{"margin": math.inf}, {"margin": -1.0}, {"at_least": math.nan}])
def test_a_bound_or_margin_that_is_no_number_never_reaches_the_gate(settings: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        params.Absolute(kind="absolute", metric="mAP", **{"at_least": 1.0, **settings})  # type: ignore[arg-type]


def test_every_kind_of_rule_that_settings_allow_is_known_to_the_gate() -> None:
    assert RULES.keys() == params.RULES.keys()


PER_CLASS = params.PerClass(kind="per class", margin=5.0)


def compare(
    model_ap: tuple[float, ...], champion_ap: tuple[float, ...], spread: float = 1.0, positives: Any = POSITIVES
) -> dict[str, Any]:
    model, champion = sample({"mAP": 70.0}, spread, model_ap), sample({"mAP": 70.0}, spread, champion_ap, seed=2)
    evidence = Evidence(replace(model, positives=positives), champion, CLASSES, IMAGES)
    [row] = judge([PER_CLASS], evidence)["rules"]
    return dict(row)


def test_a_class_that_clearly_lost_fails_and_is_named() -> None:
    row = compare((80, 50, 60), (80, 70, 60))
    assert row["result"] == "fail"
    assert row["words"].startswith("1 of 3 classes lost more than 5.00 AP: dog -20.0 (")
    assert row["value"] == pytest.approx(-20)
    assert row["low"] < -20 < row["high"] < -5


def test_a_loss_that_may_be_noise_passes_and_is_named() -> None:
    row = compare((80, 64, 60), (80, 70, 60), spread=2.0)
    assert row["result"] == "pass"
    assert row["words"].startswith("None of 3 classes is shown to have lost more than 5.00 AP; the lowest: dog -6.0 (")


def test_a_class_with_few_test_images_is_not_judged_and_counted() -> None:
    row = compare((80, 70, 10), (80, 70, 60), positives=np.array([100, 50, 19]))
    assert row["result"] == "pass"
    assert "1 with fewer than 20 test images not judged" in row["words"]
    none = compare((80, 70, 60), (80, 70, 60), positives=np.array([1, 2, 3]))
    assert (none["result"], none["value"]) == ("not applicable", None)


def test_of_many_classes_that_lost_nothing_none_is_accused_more_often_than_stated() -> None:
    rng, accused, classes = np.random.default_rng(3), 0, 80
    many = params.PerClass(kind="per class", margin=0.0)
    for _ in range(200):
        change = 3 * rng.standard_normal(classes)
        draws = change[:, None] + 3 * rng.standard_normal((classes, 400))
        zero = np.zeros(classes)
        model = Sample({}, {}, change, draws, np.full(classes, 5000))
        champion = Sample({}, {}, zero, np.zeros_like(draws), np.full(classes, 5000))
        evidence = Evidence(model, champion, tuple(map(str, range(classes))), 4000)
        accused += judge([many], evidence)["verdict"] == "fail"
    assert accused <= 16  # each class by an interval of its own: about 170


def cost_row(model_bytes: int | None, champion_bytes: int | None, champion: Figures, **asked: float) -> dict[str, Any]:
    rule = params.Cost(kind="cost", of="bytes", **asked)
    cost = {"model": {"bytes": model_bytes}, "champion": {"bytes": champion_bytes}}
    known = {name: {k: v for k, v in one.items() if v is not None} for name, one in cost.items()}
    return dict(judge_figures([rule], {"mAP": 80.0}, champion, cost=known)["rules"][0])


@pytest.mark.parametrize(
    ("row", "result", "words"),
    [
        (cost_row(1000, None, NO_CHAMPION, at_most=1000), "pass", "The model has 1,000 bytes, which is at most 1,000."),
        (cost_row(1001, None, NO_CHAMPION, at_most=1000), "fail", "The model has 1,001 bytes, which is above 1,000."),
        (cost_row(1100, 1000, {"mAP": 80.0}, times=1.1), "pass",
         "The model has 1,100 bytes, which is at most 1,100, 1.1 times the champion's 1,000."),
        (cost_row(1101, 1000, {"mAP": 80.0}, times=1.1), "fail",
         "The model has 1,101 bytes, which is above 1,100, 1.1 times the champion's 1,000."),
        (cost_row(1, None, NO_CHAMPION, times=2), "not applicable", "there is no champion yet"),
        (cost_row(None, 1, {"mAP": 80.0}, times=2), "refused", "the model's number is not recorded"),
        (cost_row(1, None, {"mAP": 80.0}, times=2), "refused", "the champion's number is not recorded"),
        (cost_row(1, 1, Refusal("its weights are gone"), times=2), "refused", "its weights are gone"),
        (cost_row(1, 1, {"mAP": 80.0}), "refused", "needs one bound, at_most or times, but it has none"),
        (cost_row(1, 1, {"mAP": 80.0}, times=2, at_most=1), "refused", "but it has both"),
    ],
)  # fmt: skip
def test_a_model_that_costs_more_than_it_may_fails(row: dict[str, Any], result: str, words: str) -> None:
    assert row["result"] == result
    assert words in row["words"]


numbers = st.one_of(st.floats(0, 100), st.sampled_from([math.nan, math.inf]))
states = st.one_of(st.builds(dict, mAP=numbers), st.just(Refusal("gone")))
names, ways = st.sampled_from(["mAP", "other"]), st.sampled_from(["interval", "value"])
bounds, margins = st.none() | st.floats(0, 100), st.floats(0, 5)
some_rule = st.one_of(
    st.builds(params.Absolute, kind=st.just("absolute"), metric=names, at_least=bounds, at_most=bounds, margin=margins,
              by=ways),
    st.builds(params.Relative, kind=st.just("relative"), metric=names, margin=margins, by=ways),
    st.builds(params.PerClass, kind=st.just("per class"), margin=margins),
)  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(st.lists(some_rule, max_size=4), states, st.one_of(states, st.just(NO_CHAMPION)), st.sampled_from([0.0, 2.0]))
def test_a_pass_means_that_a_rule_held_and_none_did_otherwise(
    rules: list[params.Rule], model: Figures, champion: Figures, spread: float
) -> None:
    judged = judge_figures(rules, model, champion, spread)
    results = [row["result"] for row in judged["rules"]]
    assert len(results) == len(rules)
    assert (judged["verdict"] == "pass") == ("pass" in results and set(results) <= {"pass", "not applicable"})
    assert (judged["verdict"] == "fail") == ("fail" in results and "refused" not in results)
    assert all(row["words"].endswith(".") for row in judged["rules"])
    json.dumps(judged, allow_nan=False)


@settings(deadline=None, max_examples=30)
@given(st.permutations([absolute(b) for b in (10.0, 50.0, 90.0)]), st.floats(0, 100))
def test_the_order_of_rules_means_nothing(rules: list[params.Rule], value: float) -> None:
    assert judge_figures(rules, {"mAP": value})["verdict"] == ("pass" if value >= 90 else "fail")


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_a_better_model_never_fares_worse(spread: float) -> None:
    order = ["fail", "undecided", "pass"]
    for rule in (absolute(75.0), relative(2.0)):
        verdicts = [
            judge_figures([rule], {"mAP": v}, {"mAP": 80.0}, spread)["verdict"] for v in (60.0, 74.5, 76.0, 80.0, 90.0)
        ]
        places = [order.index(verdict) for verdict in verdicts]
        assert places == sorted(places)
