"""How fast and how large a model is, next to another in the same run."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sadcl.errors import SadclError
from sadcl.registry.latency import measure


@pytest.mark.slow
def test_two_models_take_turns_in_processes_of_their_own(
    networks: Callable[[int], Path], onnx: Callable[[int], Path]
) -> None:
    speeds = measure({"model": networks(1), "champion": onnx(1)}, rounds=4)
    assert list(speeds) == ["model", "champion"]
    for speed in speeds.values():
        assert speed.p95 > 0
        assert speed.peak > 50


def test_a_model_that_cannot_be_loaded_is_a_sentence(networks: Callable[[int], Path], tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").write_bytes(b"nothing")
    with pytest.raises(SadclError, match="latency can't be measured"):
        measure({"model": networks(1), "champion": tmp_path / "weights.safetensors"}, rounds=1)


@pytest.mark.slow
def test_what_the_parent_holds_is_not_counted(networks: Callable[[int], Path]) -> None:
    held = np.ones(200_000_000)  # 1,526 MiB
    assert measure({"model": networks(1)}, rounds=1)["model"].peak < held.nbytes / 2**20
