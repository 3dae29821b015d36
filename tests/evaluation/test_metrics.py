"""Figures: golden values, a slow oracle, laws, and refusal of what cannot be evaluated."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sadcl import SadclError
from sadcl.evaluation import metrics
from sadcl.evaluation.metrics import average_precision, evaluate
from tests.paths import GOLDEN_FOLDER

GOLDEN = GOLDEN_FOLDER / "metrics.npz"
CASES = (
    "coco_like", "ties", "class_without_positives", "none_above_half",
    "one_image", "rows_without_labels", "threshold_edge",
)  # fmt: skip
no_clock = settings(deadline=None)
SIX = ("CP", "CR", "CF1", "OP", "OR", "OF1")


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as stored:
        return dict(stored)


@st.composite
def cases(draw, max_images=12, max_classes=5):
    """Distinct scores, so that no law depends on the order of equals; targets; ignored."""
    n, c = draw(st.integers(1, max_images)), draw(st.integers(1, max_classes))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scores = (rng.permutation(n * c).reshape(n, c) + 0.5) / (n * c)
    return scores, rng.random((n, c)) < draw(st.sampled_from([0.1, 0.5, 0.9])), rng.random((n, c)) < 0.2


def slow_ap(scores, targets):
    """Method section 5 word by word: sentinels, envelope from the right, sum over recall steps."""
    ranked = [bool(t) for _, _, t in sorted((-s, i, t) for i, (s, t) in enumerate(zip(scores, targets, strict=True)))]
    recall, precision, hits = [0.0], [0.0], 0
    for rank, hit in enumerate(ranked, start=1):
        hits += hit
        recall.append(hits / sum(ranked))
        precision.append(hits / rank)
    recall, precision = [*recall, 1.0], [*precision, 0.0]
    return 100 * sum((recall[i] - recall[i - 1]) * max(precision[i:]) for i in range(1, len(recall)))


@pytest.mark.parametrize("case", CASES)
def test_average_precision_is_the_published_codes(golden, case):
    figures = evaluate(golden[f"{case}/scores"], golden[f"{case}/targets"])
    np.testing.assert_allclose(figures["AP"], golden[f"{case}/ap_stable"], rtol=0, atol=1e-8, equal_nan=True)
    assert figures["mAP"] == pytest.approx(np.nanmean(golden[f"{case}/ap_stable"]), abs=1e-8)
    if case != "ties":
        np.testing.assert_allclose(figures["AP"], golden[f"{case}/ap"], rtol=0, atol=1e-8, equal_nan=True)


def test_equal_scores_stay_within_the_bounds_of_any_order(golden):
    ap = evaluate(golden["ties/scores"], golden["ties/targets"])["AP"]
    assert (ap <= golden["ties/ap_positives_first"] + 1e-8).all()
    assert (ap >= golden["ties/ap_negatives_first"] - 1e-8).all()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("columns", "threshold"), [("all_thr0.5", 0.5), ("top3_thr0.5", 0.5), ("top3_thr0", 0.0)])
def test_threshold_figures_are_the_published_codes(golden, case, columns, threshold):
    if (case, columns) == ("ties", "top3_thr0"):
        pytest.skip("which of equal scores are the best three is nowhere defined")
    figures = evaluate(golden[f"{case}/scores"], golden[f"{case}/targets"], threshold=threshold)
    computed = figures["top3"] if columns.startswith("top3") else figures
    # the published code divides by zero where nothing is predicted: ours is 0 there
    expected = np.nan_to_num(golden[f"{case}/{columns}"], nan=0.0)
    np.testing.assert_allclose([computed[name] for name in SIX], expected, rtol=0, atol=1e-4)


def test_nothing_predicted_gives_zeros_not_nan(golden):
    assert np.isnan(golden["none_above_half/all_thr0.5"]).sum() == 2
    figures = evaluate(golden["none_above_half/scores"], golden["none_above_half/targets"])
    assert [figures[name] for name in (*SIX, "CF1_harmonic")] == [0.0] * 7


def test_a_class_without_positives_is_left_out_of_map_and_listed(golden):
    figures = evaluate(golden["class_without_positives/scores"], golden["class_without_positives/targets"])
    assert figures["classes_without_positives"] == [3]
    assert np.isnan(figures["AP"][3])
    assert figures["mAP"] == pytest.approx(np.delete(figures["AP"], 3).mean())


def test_no_positive_at_all_has_no_map():
    figures = evaluate(np.full((2, 3), 0.7), np.zeros((2, 3)))
    assert np.isnan(figures["mAP"])
    assert figures["classes_without_positives"] == [0, 1, 2]
    assert figures["OF1"] == 0
    assert metrics.to_json(figures)["mAP"] is None


def test_the_two_cf1_differ_as_defined():
    targets = np.array([[1, 1], [1, 0], [0, 0], [0, 0]])
    figures = evaluate(np.array([[0.9, 0.9], [0.1, 0.9], [0.1, 0.9], [0.1, 0.9]]), targets)
    assert (figures["CP"], figures["CR"]) == (62.5, 75.0)
    assert figures["CF1"] == pytest.approx(100 * (2 / 3 + 2 / 5) / 2)
    assert figures["CF1_harmonic"] == pytest.approx(2 * 62.5 * 75 / 137.5)


def test_a_score_equal_to_the_threshold_is_not_predicted():
    assert evaluate([[0.5]], [[1]])["OR"] == 0
    assert evaluate([[0.5]], [[1]], threshold=0.49)["OR"] == 100


def test_plain_figures_hold_names_and_top3_only():
    values = metrics.to_json(evaluate([[0.9, 0.2]], [[1, 0]]))
    assert set(values) == {*metrics.NAMES, "top3"}
    assert values["mAP"] == 100.0
    assert values["top3"]["OF1"] == 100.0


@no_clock
@given(cases())
def test_ap_equals_the_slow_definition(case):
    scores, targets, ignored = case
    ap = evaluate(scores, targets, ignored)["AP"]
    for j in range(scores.shape[1]):
        known = ~ignored[:, j]
        if targets[known, j].any():
            assert ap[j] == pytest.approx(slow_ap(scores[known, j], targets[known, j]), abs=1e-9)
        else:
            assert np.isnan(ap[j])


@no_clock
@given(cases(), st.sampled_from([4, 10, 100]))
def test_ap_of_equal_scores_follows_the_order_of_the_images(case, steps):
    scores, targets, _ = case
    scores = np.round(scores * steps) / steps
    for score, target in zip(scores.T, targets.T, strict=True):
        if target.any():
            assert metrics.average_precision(score, target) == pytest.approx(slow_ap(score, target), abs=1e-9)


@no_clock
@given(cases(), st.floats(0.2, 5))
def test_a_monotone_change_of_scores_leaves_ap(case, power):
    scores, targets, ignored = case
    np.testing.assert_array_equal(
        evaluate(scores, targets, ignored)["AP"], evaluate(scores**power, targets, ignored)["AP"]
    )


@no_clock
@given(cases(), st.randoms(use_true_random=False))
def test_the_order_of_images_and_classes_means_nothing(case, random):
    n, c = case[0].shape
    rows, columns = random.sample(range(n), n), random.sample(range(c), c)
    one, other = evaluate(*case), evaluate(*(array[np.ix_(rows, columns)] for array in case))
    np.testing.assert_allclose(one["AP"][columns], other["AP"], equal_nan=True)
    np.testing.assert_allclose([one[k] for k in metrics.NAMES], [other[k] for k in metrics.NAMES], equal_nan=True)
    np.testing.assert_allclose(list(one["top3"].values()), list(other["top3"].values()))


@no_clock
@given(cases())
def test_what_is_ignored_means_nothing(case):
    scores, targets, ignored = case
    one = evaluate(scores, targets, ignored)
    other = evaluate(np.where(ignored, 1 - scores, scores), targets ^ ignored, ignored)
    np.testing.assert_equal(one, other)


@no_clock
@given(cases())
def test_every_figure_is_a_percentage(case):
    figures = evaluate(*case)
    values = [figures[name] for name in metrics.NAMES[1:]] + list(figures["top3"].values())
    assert all(0 <= value <= 100 for value in values)


@no_clock
@given(cases())
def test_perfect_scores_are_a_hundred(case):
    _, targets, ignored = case
    figures = evaluate(np.where(targets, 0.9, 0.1), targets, ignored)
    assert np.isin(figures["AP"][~np.isnan(figures["AP"])], 100).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([[0.1, 0.2]], [[1]]), r"scores \(1, 2\), targets \(1, 1\)"),
        (([0.1], [1]), "must have one shape"),
        (([[0.1]], [[1]], [[True, False]]), r"ignored \(1, 2\)"),
        ((np.zeros((0, 3)), np.zeros((0, 3))), "nothing to evaluate: 0 images, 3 classes"),
        (([[0.1, float("nan")]], [[1, 0]]), r"one is nan \(image 0, class 1\)"),
        (([[0.1], [4.2]], [[1], [0]]), r"one is 4.2 \(image 1, class 0\).*sigmoid"),
        (([[0.1]], [[-1]]), "target must be 0 or 1, but one is -1"),
        (([[0.1]], [[0.5]]), "target must be 0 or 1, but one is 0.5"),
        (([[0.1]], [[1]], [[2]]), "ignored must be 0 or 1"),
        (([[0.1]], [[1]], None, 1.5), "threshold must be in 0 to 1, but it is 1.5"),
        (([[0.1]], [[1]], None, float("nan")), "threshold must be in 0 to 1"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_with_the_value(arguments, words):
    with pytest.raises(SadclError) as caught:
        evaluate(*arguments)
    assert re.search(words, str(caught.value))


def test_average_precision_alone_takes_any_numbers():
    assert average_precision([3.0, -1.0, 2.0], [1, 0, 1]) == 100
    assert average_precision([3, 2, 1], [0, 0, 1]) == pytest.approx(100 / 3)
    assert np.isnan(average_precision([1, 2], [0, 0]))
