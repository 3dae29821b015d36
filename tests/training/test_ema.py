"""The moving average of weights: what it holds after so many updates."""

import pytest
import torch
from torch import nn

from sadcl.training.ema import EMA


def weights(values: list[float]) -> nn.Module:
    module = nn.Linear(len(values), 1, bias=False)
    module.weight = nn.Parameter(torch.tensor([values]))
    return module


def share_of_start(updates: int, epochs: float, steps: int, *, continues: bool) -> float:
    """Share of the start in the average, after updates with other values."""
    average = EMA(weights([1.0]), epochs, steps, continues)
    later = weights([0.0])
    for _ in range(updates):
        average.update(later)
    return float(average.module.weight)


def test_a_new_training_is_averaged_plainly_up_to_the_horizon() -> None:
    average = EMA(weights([0.0]), epochs=2.0, steps=10)
    for value in range(1, 20):
        average.update(weights([float(value)]))
    assert float(average.module.weight) == pytest.approx(sum(range(20)) / 20)
    average.update(weights([100.0]))
    assert float(average.module.weight) == pytest.approx(0.95 * 9.5 + 0.05 * 100)


def test_the_start_is_left_at_the_pace_of_the_horizon() -> None:
    """COCO's 3.9 epochs take effect after 3.9 epochs, and not after 35."""
    assert share_of_start(199, 2.0, 100, continues=False) == pytest.approx(1 / 200, rel=1e-3)
    assert share_of_start(399, 2.0, 100, continues=False) == pytest.approx(0.995**200 / 200, rel=1e-3)


def test_stage_2_keeps_as_much_of_stage_1_as_the_release() -> None:
    """After one epoch of COCO, 0.9998^1293 is left."""
    assert share_of_start(1293, 3.867, 1293, continues=True) == pytest.approx(0.772, abs=1e-3)


def test_a_horizon_below_one_update_is_the_module_itself() -> None:
    assert share_of_start(1, 0.1, 2, continues=True) == 0
