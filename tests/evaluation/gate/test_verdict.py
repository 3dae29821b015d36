"""From scores files to the verdict: figures computed anew, and every reason to refuse a comparison."""

from dataclasses import replace

import numpy as np
import pytest

from sadcl import params
from sadcl.errors import SadclError
from sadcl.evaluation.gate.champion import Champion
from sadcl.evaluation.gate.verdict import verdict
from sadcl.evaluation.metrics import to_json
from sadcl.evaluation.scores import Scores, empty_scores

MODEL, CHAMPION_DIGEST = "a" * 64, "b" * 64
CHAMPION = Champion("scenes-production", "3", CHAMPION_DIGEST)
RULES = params.Gate(
    rules=(
        params.Absolute(kind="absolute", metric="mAP", at_least=50.0),
        params.Relative(kind="relative", metric="OF1", margin=1.0),
    )
)


def scores(name, digest, noise):
    """Logits that know the labels, but for some noise."""
    rng = np.random.default_rng(7)
    targets, ignored = rng.random((60, 4)) < 0.4, rng.random((60, 4)) < 0.05
    logits = (4.0 * targets - 2 + noise * rng.normal(size=targets.shape)).astype(np.float32)
    return Scores(
        [f"{i}" for i in range(60)], [f"{i:064x}" for i in range(60)], ("a", "b", "c", "d"), targets, ignored,
        logits={name: logits}, digests={"weights": digest, "test_list": "list"}, training_overlap={name: 0},
    )  # fmt: skip


GOOD, RIVAL = scores("sadcl", MODEL, 0.5), scores("champion", CHAMPION_DIGEST, 1.5)


def metrics_of(of):
    return {
        "sadcl": to_json(of.figures("sadcl", 0.5)),
        "digests": of.digests,
        "seen_in_training": of.training_overlap["sadcl"],
    }


def judge_model(model=GOOD, metrics=None, rival=RIVAL, champion=CHAMPION, rules=RULES):
    return verdict(rules, 0.5, model, metrics if metrics is not None else metrics_of(model), rival, champion)


def results(judged):
    return [rule["result"] for rule in judged["rules"]]


def test_a_better_model_passes_on_figures_computed_from_the_scores():
    judged = judge_model()
    assert results(judged) == ["pass", "pass"]
    assert judged["verdict"] == "pass"
    assert judged["rules"][0]["value"] == pytest.approx(GOOD.figures("sadcl", 0.5)["mAP"])
    assert judged["rules"][1]["bound"] == pytest.approx(RIVAL.figures("champion", 0.5)["OF1"])
    assert (judged["model"], judged["test"]) == (MODEL, "list")
    assert (judged["champion"], judged["champion_version"]) == (CHAMPION_DIGEST, "3")


def test_a_worse_model_fails_against_the_champion_alone():
    judged = judge_model(model=scores("sadcl", MODEL, 3.0), rival=scores("champion", CHAMPION_DIGEST, 0.1))
    assert results(judged) == ["pass", "fail"]
    assert judged["verdict"] == "fail"


def test_top3_figures_can_be_asked_for():
    asked = params.Gate(rules=(params.Absolute(kind="absolute", metric="top3.OF1", at_least=1.0),))
    assert judge_model(rules=asked)["verdict"] == "pass"


def test_nobody_is_champion_yet():
    judged = judge_model(rival=empty_scores(), champion=None)
    assert results(judged) == ["pass", "not applicable"]
    assert judged["verdict"] == "pass"
    assert judged["champion"] is None


def test_the_champion_does_not_compete_with_itself():
    judged = judge_model(champion=replace(CHAMPION, weights=MODEL))
    assert results(judged) == ["pass", "not applicable"]
    assert "the champion itself" in judged["rules"][1]["words"]


@pytest.mark.parametrize(
    ("rival", "words"),
    [
        (empty_scores("the weights are gone"), "the weights are gone"),
        (empty_scores(), "has no scores"),
        (replace(RIVAL, digests={"weights": MODEL}), "of another model"),
        (replace(RIVAL, digests={}), "of another model"),
        (replace(RIVAL, classes=("b", "a", "c", "d")), "other classes"),
        (replace(RIVAL, ids=["new", *RIVAL.ids[1:]]), "other images"),
        (replace(RIVAL, targets=~RIVAL.targets), "other labels"),
        (replace(RIVAL, ignored=~RIVAL.ignored), "other labels"),
        (replace(RIVAL, training_overlap={"champion": 2}), "saw 2 of the test images in training"),
        (replace(RIVAL, training_overlap={}), "not recorded"),
        (replace(RIVAL, logits={}), "no scores of champion"),
        (replace(RIVAL, logits={"champion": np.full((60, 4), np.nan, np.float32)}), "one is nan"),
    ],
)
def test_a_champion_that_cannot_be_compared_refuses(rival, words):
    judged = judge_model(rival=rival)
    assert results(judged) == ["pass", "refused"]
    assert judged["verdict"] == "refused"
    assert words in judged["rules"][1]["words"]


@pytest.mark.parametrize(
    ("model", "change", "words"),
    [
        (replace(GOOD, refused="no model"), {}, "no model"),
        (GOOD, {"digests": {"weights": CHAMPION_DIGEST}}, "different models or data"),
        (replace(GOOD, digests={}), {"digests": {}}, "different models or data"),
        (GOOD, {"seen_in_training": 4}, "saw 4 of the test images in training"),
        (GOOD, {"seen_in_training": None}, "not recorded"),
        (replace(GOOD, training_overlap={"sadcl": 9}), {"seen_in_training": 0}, "saw 9 of the test images"),
        (replace(GOOD, logits={"sadcl": np.full((60, 4), np.nan, np.float32)}), {}, "one is nan"),
        (GOOD, {"sadcl": {**metrics_of(GOOD)["sadcl"], "mAP": 99.9}}, "metrics.json says mAP 99.9"),
        (GOOD, {"sadcl": None}, "metrics.json says mAP None"),
    ],
)
def test_a_model_whose_figures_cannot_be_trusted_is_refused_by_every_rule(model, change, words):
    judged = judge_model(model=model, metrics={**metrics_of(GOOD), **change})
    assert results(judged) == ["refused", "refused"]
    assert judged["verdict"] == "refused"
    assert words in judged["rules"][0]["words"]


def test_a_test_set_without_any_label_is_refused_not_passed():
    empty = replace(GOOD, targets=np.zeros_like(GOOD.targets))
    rules = params.Gate(rules=(params.Absolute(kind="absolute", metric="mAP", at_least=0.0),))
    judged = judge_model(model=empty, champion=None, rules=rules)
    assert judged["verdict"] == "refused"
    assert "not a number" in judged["rules"][0]["words"]


def test_no_test_image_at_all_is_an_error_in_words():
    nobody = GOOD.part(np.array([], dtype=int))
    with pytest.raises(SadclError, match="no scores of test images"):
        judge_model(model=nobody, metrics={}, champion=None)
