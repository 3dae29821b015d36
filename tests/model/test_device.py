"""Which device is taken, and the message where there is none."""

import pytest
import torch

from sadcl.errors import SadclError
from sadcl.model import device


def test_a_name_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SADCL_DEVICE", "nonsense")
    assert device.pick("cpu") == torch.device("cpu")
    monkeypatch.setenv("SADCL_DEVICE", "cpu")
    assert device.pick() == torch.device("cpu")


def test_without_a_wish_it_is_the_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SADCL_DEVICE", raising=False)
    assert device.pick().type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["nonsense", "cuda:99", "meta"])
def test_a_device_that_is_not_there_is_a_sentence(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SADCL_DEVICE", name)
    with pytest.raises(SadclError, match=rf"device '{name}' is not available.*SADCL_DEVICE"):
        device.pick()


def test_a_device_is_described_in_words() -> None:
    assert device.describe(torch.device("cpu")) == f"cpu ({torch.get_num_threads()} threads)"
