"""Weights on disk: what comes back, and every kind of file that must not be taken."""

import json
import os
import pickle
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from sadcl import params
from sadcl.errors import SadclError
from sadcl.model.dual_contrast import DualContrast
from sadcl.model.network import Network
from sadcl.weights import checkpoint, file_head

torch.set_num_threads(1)
MODEL = params.Model(
    backbone="test_resnet", weights="random", side=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5),
    width=16, heads=2, feedforward=16, embedding=8,
)  # fmt: skip
HEAD: dict[str, Any] = {
    "stage": "train", "classes": ["a", "b", "ü"], "model": MODEL.model_dump(mode="json"), "best": "raw",
    "preprocessing": {"side": 32, "mean": [0.5] * 3, "std": [0.5] * 3}, "thresholds": None,
}  # fmt: skip


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    """Stage 2's tensors; raw and averaged ones differ."""
    values = {}
    for seed, which in enumerate(("ema", "raw")):
        torch.manual_seed(seed)
        module = DualContrast(Network(MODEL, 3), torch.randn(3, 16), 8)
        values |= {f"{which}.{name}": value.detach() for name, value in module.state_dict().items()}
    return values


@pytest.fixture(scope="module")
def whole(tensors: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "weights.safetensors"
    checkpoint.save(path, tensors, HEAD)
    return path


def test_what_was_saved_comes_back(whole: Path, tensors: dict[str, Tensor]) -> None:
    loaded, head = checkpoint.load_tensors(whole)
    assert head == {**HEAD, "format": 2} == file_head.read_head(whole)
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[name], tensors[name]) for name in tensors)


def test_the_same_tensors_and_head_give_the_same_bytes(whole: Path, tensors: dict[str, Tensor], tmp_path: Path) -> None:
    turned = {name: value.clone() for name, value in reversed(tensors.items())}
    checkpoint.save(tmp_path / "again", turned, dict(reversed(HEAD.items())))
    assert (tmp_path / "again").read_bytes() == whole.read_bytes()


@pytest.mark.parametrize(("which", "expected"), [("best", "raw"), ("raw", "raw"), ("ema", "ema")])
def test_a_network_for_use_needs_neither_projector_nor_prototypes(
    which: Any, expected: str, whole: Path, tensors: dict[str, Tensor]
) -> None:
    network, head = checkpoint.load_network(whole, which)
    assert not network.training
    assert head["classes"] == ["a", "b", "ü"]
    state = network.state_dict()
    assert all(torch.equal(value, tensors[f"{expected}.network.{name}"]) for name, value in state.items())


def test_a_failed_save_leaves_the_old_file(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(whole.read_bytes())
    with pytest.raises(SadclError, match=r"raw\.x are not finite"):
        checkpoint.save(path, {"raw.x": torch.tensor([1.0, float("nan")])}, HEAD)
    assert path.read_bytes() == whole.read_bytes()
    assert list(tmp_path.iterdir()) == [path]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_refused_wherever_it_ends(share: float, whole: Path, tmp_path: Path) -> None:
    data, path = whole.read_bytes(), tmp_path / "cut.safetensors"
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(SadclError, match="can't be read"):
        checkpoint.load_network(path)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 4000), bits=st.integers(1, 255))
def test_a_damaged_header_is_refused_or_read_but_never_a_crash(at: int, bits: int, whole: Path, tmp_path: Path) -> None:
    data, path = bytearray(whole.read_bytes()), tmp_path / "damaged.safetensors"
    data[at] ^= bits
    path.write_bytes(data)
    with suppress(SadclError):
        checkpoint.load_network(path)


def missing(path: Path) -> None:
    pass


def empty(path: Path) -> None:
    path.touch()


def text(path: Path) -> None:
    path.write_text("a,b\n1,2\n")


def folder(path: Path) -> None:
    path.mkdir()


def foreign(path: Path) -> None:
    save_file({"x": torch.zeros(1)}, path)


def other_head(path: Path) -> None:
    save_file({"x": torch.zeros(1)}, path, metadata={"sadcl": "[1, 2"})


def not_a_head(path: Path) -> None:
    save_file({"x": torch.zeros(1)}, path, metadata={"sadcl": "[1, 2]"})


@pytest.mark.parametrize("make", [missing, empty, text, folder, foreign, other_head, not_a_head])
def test_what_is_no_weights_file_is_a_sentence(make: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    make(path)
    for read in (file_head.read_head, checkpoint.load_tensors, checkpoint.load_network):
        with pytest.raises(SadclError, match=r"weights\.safetensors"):
            read(path)


class Bomb:
    """An object that runs a command when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


def test_a_pickle_is_refused_and_never_run(tmp_path: Path) -> None:
    for name, write in (("a", pickle.dumps(Bomb(tmp_path / "ran"))), ("b", None)):
        path = tmp_path / name
        if write is None:
            torch.save({"x": Bomb(tmp_path / "ran")}, path)
        else:
            path.write_bytes(write)
        with pytest.raises(SadclError, match="can't be read"):
            checkpoint.load_tensors(path)
    assert not (tmp_path / "ran").exists()


def stored(path: Path, tensors: Mapping[str, Tensor], head: Mapping[str, Any]) -> Path:
    """A file as another program, or a later sadcl, could have written it."""
    save_file(dict(tensors), path, metadata={"sadcl": json.dumps(head)})
    return path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 3}, "format 3, but this sadcl reads 1 and 2"),
        ({"format": None}, "format None, but this sadcl reads 1 and 2"),
        ({"classes": []}, "no usable classes"),
        ({"classes": "abc"}, "no usable classes"),
        ({"classes": None}, "no usable classes"),
        ({"thresholds": [0.5]}, "no usable thresholds"),
        ({"thresholds": 0.5}, "no usable thresholds"),
        ({"thresholds": ["high"] * 3}, "no usable thresholds"),
        ({"thresholds": [0.5, 0.5, -5.0]}, "no usable thresholds"),
        ({"calibration": {"slope": [1.0, -1.0, 1.0], "bias": [0.0] * 3}}, "no usable calibration"),
        ({"calibration": {"slope": [1.0] * 3, "bias": [0.0, float("nan"), 0.0]}}, "no usable calibration"),
        ({"thresholds": [0.5], "classes": None}, "no usable classes"),
        ({"preprocessing": {"side": "32", "mean": [0.5] * 3, "std": [0.5] * 3}}, "no usable preprocessing"),
        ({"preprocessing": {"side": 32, "mean": [0.5], "std": [0.5] * 3}}, "no usable preprocessing"),
        ({"preprocessing": {"side": 32}}, "no usable preprocessing"),
        ({"preprocessing": None}, "no usable preprocessing"),
        ({"model": {**HEAD["model"], "new_setting": 1}}, r"can't build: model\.new_setting"),
        ({"model": "resnet"}, "can't build: model: "),
        ({"model": {**HEAD["model"], "feedforward": 2**61}}, "can't build: "),
        ({"model": {**HEAD["model"], "head": "x"}}, "can't build: There is no head 'x'"),
        ({"model": {**HEAD["model"], "backbone": "x"}}, "can't build: timm"),
        ({"model": {**HEAD["model"], "width": 32}}, r"do not fit .* is \[.*\], not \[.*\] \(and \d+ more\)"),
        ({"classes": ["a", "b"]}, r"do not fit .* is \[3, 16\], not \[2, 16\]|do not fit .* is \[3\], not \[2\]"),
        ({"best": "average"}, "do not fit .* is missing"),
    ],
)
def test_a_head_that_cannot_be_used_says_what_is_wrong(
    change: dict[str, Any], words: str, tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    path = stored(tmp_path / "weights.safetensors", tensors, {**HEAD, "format": 1, **change})
    with pytest.raises(SadclError, match=words) as caught:
        checkpoint.load_network(path)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("name", file_head.NEEDED)
def test_a_head_that_lacks_a_part_names_it(name: str, tmp_path: Path) -> None:
    head = {key: value for key, value in {**HEAD, "format": 1}.items() if key != name}
    with pytest.raises(SadclError, match="format None" if name == "format" else f"lacks {name}"):
        file_head.read_head(stored(tmp_path / "w", {"x": torch.zeros(1)}, head))


def test_missing_and_surplus_tensors_are_named(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    head = {**HEAD, "format": 1}
    fewer = {name: value for name, value in tensors.items() if name != "raw.network.head.queries"}
    with pytest.raises(SadclError, match="queries is missing"):
        checkpoint.load_network(stored(tmp_path / "fewer", fewer, head))
    with pytest.raises(SadclError, match=r"head\.extra is unexpected"):
        checkpoint.load_network(stored(tmp_path / "more", {**tensors, "raw.network.head.extra": torch.zeros(1)}, head))


def test_weights_that_are_not_numbers_are_refused(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    name = "raw.network.head.queries"
    broken = {**tensors, name: torch.full_like(tensors[name], float("inf"))}
    path = stored(tmp_path / "broken", broken, {**HEAD, "format": 1})
    for read in (checkpoint.load_tensors, checkpoint.load_network):
        with pytest.raises(SadclError, match="not finite"):
            read(path)
