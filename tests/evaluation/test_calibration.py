"""Calibration and thresholds: what they promise on photos that they were not fitted on, and where there is little."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.optimize import minimize

from sadcl import SadclError, evaluate
from sadcl.evaluation import calibration
from sadcl.evaluation.metrics import label_metrics
from sadcl.evaluation.reliability import expected_calibration_error


def overconfident_logits(seed, photos, classes=10, slope=0.6, shift=3.0):
    """Logits of a model that is too sure of itself and sees labels everywhere, and the truth."""
    rng = np.random.default_rng(seed)
    true = rng.normal(-2.5, 2, (photos, classes)) + np.linspace(-1, 1, classes)
    targets = rng.random(true.shape) < calibration.sigmoid(true)
    return true / slope + shift, targets


def test_what_was_fitted_holds_on_other_photos():
    fitted, (logits, targets) = calibration.fit(*overconfident_logits(0, 2000)), overconfident_logits(1, 4000)
    before = expected_calibration_error(calibration.sigmoid(logits), targets)
    after = expected_calibration_error(fitted.probabilities(logits), targets)
    assert before > 7
    assert after < 1
    assert_allclose(fitted.slope, 0.6, rtol=0.25)
    nobody = np.zeros_like(targets)
    own = label_metrics(fitted.probabilities(logits) > fitted.thresholds, targets, nobody)
    fixed = evaluate(calibration.sigmoid(logits), targets)
    assert own["CF1"] > fixed["CF1"] + 3
    assert own["OF1"] > fixed["OF1"] + 3


def test_average_precision_stays_what_it_was():
    logits, targets = overconfident_logits(2, 300)
    fitted = calibration.fit(*overconfident_logits(0, 60))
    assert (fitted.slope > 0).all()
    assert_allclose(
        evaluate(fitted.probabilities(logits), targets)["AP"], evaluate(calibration.sigmoid(logits), targets)["AP"]
    )


def test_a_class_without_positives_takes_what_all_have_in_common():
    logits, targets = overconfident_logits(0, 500)
    targets[:, 3] = False
    fitted, common = calibration.fit(logits, targets), calibration.fit(logits, targets, prior_positives=1e12)
    assert fitted.thresholds[3] == pytest.approx(common.thresholds[0])
    assert np.ptp(common.thresholds) < 1e-9
    assert np.ptp(fitted.thresholds) > 0.01


def test_it_is_the_largest_posterior():
    """A general minimiser of the posterior gives the same slopes and biases."""
    logits, targets = overconfident_logits(3, 80, classes=3)
    known = np.random.default_rng(0).random(targets.shape) < 0.9
    slope, bias = calibration.platt(logits, targets, known)

    def loss(pair, z, y, centre, spread):
        off = np.logaddexp(0, pair[0] * z + pair[1]) - y * (pair[0] * z + pair[1])
        return off.sum() + (((pair - centre) / spread) ** 2).sum() / 2

    wide = np.full(2, calibration.WIDE)
    common = minimize(loss, [1.0, 0.0], (logits[known], targets[known], np.array([1.0, 0.0]), wide), tol=1e-12).x
    spread = np.array([calibration.SLOPE_SPREAD * common[0], calibration.BIAS_SPREAD])
    for j in range(3):
        z, y = logits[known[:, j], j], targets[known[:, j], j]
        assert_allclose([slope[j], bias[j]], minimize(loss, common, (z, y, common, spread), tol=1e-12).x, atol=1e-4)


def test_the_threshold_is_the_best_of_all():
    """Every place between two scores is tried as threshold, for one class without a common prior."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(60, 1)).round(1)  # with equal ones
    targets = rng.random((60, 1)) < calibration.sigmoid(2 * logits)
    fitted = calibration.fit(logits, targets, prior_positives=0)
    scores = fitted.probabilities(logits)

    def f1(threshold):
        predicted = scores > threshold
        return 2 * (predicted & targets).sum() / (predicted.sum() + targets.sum())

    assert f1(fitted.thresholds[0]) == max(f1(value) for value in np.append(scores, 0))


@pytest.mark.parametrize("wanted", [60.0, 90.0])
def test_a_wanted_precision_is_met_with_as_many_labels_as_there_can_be(wanted):
    logits, targets = overconfident_logits(0, 400)
    fitted = calibration.fit(logits, targets, precision=wanted, prior_positives=0)
    scores = fitted.probabilities(logits)
    for j in range(10):
        predicted, correct = (
            (scores[:, j] > fitted.thresholds[j]).sum(),
            targets[:, j][scores[:, j] > fitted.thresholds[j]].sum(),
        )
        assert 100 * correct >= wanted * predicted
        for other in scores[:, j][scores[:, j] < fitted.thresholds[j]]:
            more = scores[:, j] >= other
            assert 100 * targets[more, j].sum() < wanted * more.sum()


def test_a_class_that_cannot_reach_the_precision_is_given_to_nobody():
    logits, targets = np.array([[3.0], [2.0], [1.0], [0.0]]), np.array([[0], [1], [0], [0]], bool)
    fitted = calibration.fit(logits, targets, precision=90, prior_positives=0)
    assert not (fitted.probabilities(logits) > fitted.thresholds).any()


@pytest.mark.parametrize("prior", [0, 20.0])
def test_a_precision_that_no_threshold_reaches_gives_the_threshold_1(prior):
    scores, targets = np.array([0.9, 0.6, 0.3]), np.array([False, True, False])
    assert calibration._threshold(scores, targets, 90) == 1
    assert calibration._threshold(scores, targets, 50) == pytest.approx(0.45)
    fitted = calibration.fit(calibration.logit(scores)[:, None], targets[:, None], None, 90, prior)
    assert fitted.thresholds == 1


def test_a_class_that_cannot_reach_the_precision_takes_its_part_of_the_common_threshold():
    rng = np.random.default_rng(0)
    logits, targets = overconfident_logits(0, 400, classes=2)
    logits[:, 1], targets[:, 1] = rng.normal(size=400), rng.random(400) < 0.2
    own, blended = (calibration.fit(logits, targets, precision=95, prior_positives=prior) for prior in (0, 20.0))
    assert own.thresholds[0] < 1
    assert own.thresholds[1] == 1
    assert 0.99 < blended.thresholds[1] < 1


def test_probabilities_of_1_are_labelled_where_they_reach_the_precision():
    scores = np.array([1.0, np.nextafter(1, 0), 0.5])
    threshold = calibration._threshold(scores, np.array([True, False, False]), 90)
    assert (scores > threshold).tolist() == [True, False, False]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 12), st.integers(1, 4), st.sampled_from([1e-3, 1.0, 30.0, 1e4]))
def test_whatever_the_scores_the_numbers_are_usable(seed, photos, classes, scale):
    rng = np.random.default_rng(seed)
    logits, targets = scale * rng.normal(size=(photos, classes)), rng.random((photos, classes)) < rng.random()
    targets[0, 0], targets[1, 0] = True, False
    fitted = calibration.fit(logits, targets, rng.random(targets.shape) < 0.2 * (np.arange(photos) > 1)[:, None])
    assert np.isfinite(np.concatenate(fitted)).all()
    assert (fitted.slope > 0).all()
    assert ((fitted.thresholds > 0) & (fitted.thresholds < 1)).all()


@pytest.mark.parametrize(
    ("logits", "targets", "words"),
    [
        ([[1.0, 2.0]], [[True]], "one shape"),
        ([[np.nan]], [[True]], "not finite"),
        ([[1.0], [2.0]], [[0], [0]], "present"),
    ],
)
def test_what_cannot_be_fitted_is_a_sentence(logits, targets, words):
    with pytest.raises(SadclError, match=words):
        calibration.fit(logits, targets)
