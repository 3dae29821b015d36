"""Figures of many photos: block by block they are those of one block, in a bounded share of the scores' memory."""

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sadcl.evaluation import blocks, bootstrap, calibration, curves, metrics, reliability

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]
RNG = np.random.default_rng(5)


def photos(count: int, classes: int = 6) -> Arrays:
    """Logits in steps of 1/8, so that many are equal; targets and ignored entries."""
    targets = RNG.random((count, classes)) < 0.3
    logits = (RNG.normal(size=targets.shape) + 2 * targets).astype(np.float32).round(1)
    return logits, targets, RNG.random(targets.shape) < 0.1


def scores(logits: np.ndarray) -> np.ndarray:
    return calibration.sigmoid(logits.astype(float))


COMPUTED: dict[str, Callable[[Arrays], Any]] = {
    "metrics": lambda a: metrics.evaluate(scores(a[0]), a[1], a[2]),
    "curve": lambda a: curves.precision_recall(scores(a[0]), a[1], a[2]),
    "reliability": lambda a: reliability.reliability(scores(a[0]), a[1], a[2]),
    "calibration error": lambda a: reliability.expected_calibration_error(scores(a[0]), a[1], a[2]),
    "calibration": lambda a: calibration.fit(*a)._asdict(),
    "calibration by precision": lambda a: calibration.fit(*a, precision=60.0)._asdict(),
    "resamples": lambda a: bootstrap.resampled(
        scores(a[0]), a[1], bootstrap.multiplicities(len(a[0]), 20, 1), a[2]
    )._asdict(),
}


@pytest.mark.parametrize("name", COMPUTED)
def test_blocks_change_no_figure(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = photos(83)
    whole = COMPUTED[name](arrays)
    monkeypatch.setattr(blocks, "VALUES", 50)
    monkeypatch.setattr(bootstrap, "BLOCK_COUNTS", 300)
    equal(COMPUTED[name](arrays), whole)


def equal(actual: Any, expected: Any) -> None:
    """Compare nested figures."""
    if isinstance(expected, dict):
        assert actual.keys() == expected.keys()
        for key, value in expected.items():
            equal(actual[key], value)
    elif isinstance(expected, list):
        assert len(actual) == len(expected)
        for one, other in zip(actual, expected, strict=True):
            equal(one, other)
    else:
        np.testing.assert_allclose(np.asarray(actual, float), np.asarray(expected, float), rtol=1e-6, equal_nan=True)


MEMORY = {"metrics": 1.5, "curve": 1.0, "reliability": 0.3, "calibration error": 1.0, "calibration": 4.0}
"""Most memory of a computation besides its arguments, as a multiple of the scores in float64."""


@pytest.mark.parametrize("name", MEMORY)
def test_memory_is_a_bounded_share_of_the_scores(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = photos(40_000, 20)
    monkeypatch.setattr(blocks, "VALUES", 20_000)
    probable = scores(arrays[0])
    arguments = (arrays[0] if name == "calibration" else probable, *arrays[1:])
    functions: dict[str, Callable[..., Any]] = {
        "metrics": metrics.evaluate, "curve": curves.precision_recall, "reliability": reliability.reliability,
        "calibration error": reliability.expected_calibration_error, "calibration": calibration.fit,
    }  # fmt: skip
    tracemalloc.start()
    try:
        functions[name](*arguments)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MEMORY[name] * probable.nbytes
