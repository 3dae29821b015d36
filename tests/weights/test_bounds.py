"""Weights and ONNX files that claim more than they have: refused before anything large is allocated."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import AttributeProto, TensorProto, helper, numpy_helper
from safetensors.torch import save_file

from sadcl.errors import SadclError
from sadcl.model.network import Network
from sadcl.weights import checkpoint, file_head, loader, onnx_bounds, training_photos
from tests.weights.small_models import MODEL

HEAD: dict[str, Any] = {
    "format": 1, "stage": "train", "classes": ["a", "b"], "model": MODEL.model_dump(mode="json"), "best": "raw",
    "preprocessing": {"side": 32, "mean": [0.5] * 3, "std": [0.5] * 3}, "thresholds": None,
}  # fmt: skip


def weights(path: Path, model: dict[str, Any] | None = None, **change: Any) -> Path:
    """A weights file of one tensor, whose head describes any network."""
    head = {**HEAD, **change, "model": {**HEAD["model"], **(model or {})}}
    save_file({"raw.network.x": torch.zeros(1)}, path, metadata={"sadcl": json.dumps(head)})
    return path


@pytest.mark.parametrize("name", file_head.LARGEST)
def test_an_absurd_size_of_a_network_is_named(name: str, tmp_path: Path) -> None:
    path = weights(tmp_path / "w.safetensors", {name: file_head.LARGEST[name] + 1})
    with pytest.raises(SadclError, match=rf"can't build: model\.{name} is larger than {file_head.LARGEST[name]:,}"):
        loader.read_head(path)


def test_a_network_that_is_larger_than_its_file_takes_no_memory(tmp_path: Path) -> None:
    """Such a network would take 800 GB."""
    largest = {name: file_head.LARGEST[name] for name in ("width", "feedforward", "encoder_layers", "decoder_layers")}
    with pytest.raises(SadclError, match="do not fit the network"):
        checkpoint.load_network(weights(tmp_path / "w.safetensors", largest))


def test_tables_that_a_side_makes_large_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a side of 4,096 timm computes 412 GB of them for some networks; here the bound is low instead."""
    network, path = Network(MODEL.model_copy(update={"head": "pooling"}), 2, start=False), tmp_path / "w.safetensors"
    tensors = {f"raw.network.{name}": tensor for name, tensor in network.state_dict().items()}
    checkpoint.save(path, tensors, {**HEAD, "model": {**HEAD["model"], "head": "pooling"}})
    checkpoint.load_network(path)
    monkeypatch.setattr(file_head, "LARGEST_TABLES", -4 * path.stat().st_size)
    with pytest.raises(SadclError, match="its tables take"):
        checkpoint.load_network(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"classes": ["x"] * (file_head.MOST_CLASSES + 1)}, "no usable classes"),
        ({"classes": [], "calibration": {"slope": [], "bias": []}}, "no usable classes"),
        ({"preprocessing": {**HEAD["preprocessing"], "side": 5_000}}, "no usable preprocessing"),
        ({"preprocessing": {**HEAD["preprocessing"], "std": [0.0] * 3}}, "no usable preprocessing"),
        ({"calibration": {"slope": [1e300] * 2, "bias": [0.0] * 2}}, "no usable calibration"),
        ({"calibration": {"slope": [10**400] * 2, "bias": [0.0] * 2}}, "no usable calibration"),
        ({"seen": [[]] * (file_head.MOST_VALUES // 2 + 1)}, "more than 3,000,000 values"),
    ],
)
def test_absurd_values_in_a_head_are_refused(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(SadclError, match=words):
        file_head.read_head(weights(tmp_path / "w.safetensors", **change))


def test_a_header_that_is_too_long_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes((file_head.LARGEST_HEADER + 1).to_bytes(8, "little"))
    with open(path, "r+b") as file:
        file.truncate(2 * file_head.LARGEST_HEADER)  # a file of holes, which takes no room
    with pytest.raises(SadclError, match="header is larger than 50 MB"):
        file_head.read_head(path)


def test_too_many_tensors_are_refused(tmp_path: Path) -> None:
    tensors = {str(i): torch.zeros(0) for i in range(file_head.MOST_TENSORS)}
    save_file(tensors, tmp_path / "w", metadata={"sadcl": json.dumps(HEAD)})
    with pytest.raises(SadclError, match="20,000 tensors"):
        file_head.read_head(tmp_path / "w")


@pytest.mark.parametrize(
    "announced",
    [
        {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]},
        {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 4]},
    ],
)
def test_a_tensor_larger_than_its_file_is_refused(announced: dict[str, Any], tmp_path: Path) -> None:
    header = json.dumps({"raw.network.x": announced, "__metadata__": {"sadcl": json.dumps(HEAD)}}).encode()
    (tmp_path / "w").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(SadclError, match="can't be read"):
        checkpoint.load_tensors(tmp_path / "w")


def test_tensors_that_torch_cannot_compute_with_are_refused(tmp_path: Path) -> None:
    tensors = {"raw.network.x": torch.zeros(4).to(torch.float8_e5m2)}
    save_file(tensors, tmp_path / "w", metadata={"sadcl": json.dumps(HEAD)})
    with pytest.raises(SadclError, match=r"x are of type torch\.float8_e5m2"):
        checkpoint.load_tensors(tmp_path / "w")


def test_four_million_training_photos_and_thousands_of_classes_are_read(tmp_path: Path) -> None:
    classes, photos = [f"class {i}" for i in range(5_000)], np.arange(4_000_000, dtype=np.uint64)
    head = file_head.read_head(weights(tmp_path / "w", classes=classes, training_photos=training_photos.dump(photos)))
    assert len(head["classes"]) == 5_000
    assert (training_photos.load(head) == photos).all()


def test_a_million_training_photos_in_a_file_of_format_1_are_read(tmp_path: Path) -> None:
    digits = [f"{i:016x}" for i in range(1_000_000)]
    head = file_head.read_head(weights(tmp_path / "w", format=1, seen=digits))
    assert (training_photos.load(head) == np.arange(1_000_000, dtype=np.uint64)).all()


def program() -> Any:
    """A small ONNX model: the mean of each colour, times a matrix."""
    matrix = numpy_helper.from_array(np.ones((3, 2), np.float32), "matrix")
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["means"], axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", ["means", "matrix"], ["logits"]),
    ]
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, 32, 32])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])
    graph = helper.make_graph(nodes, "graph", [images], [logits], [matrix])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model.metadata_props.add(key="sadcl", value=json.dumps(HEAD))
    return model


def saved(path: Path, model: Any) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def foreign_operators(model: Any) -> None:
    model.graph.node.add(op_type="FusedConv", domain="com.microsoft", input=["images"], output=["x"])


def foreign_set(model: Any) -> None:
    model.opset_import.add(domain="evil", version=1)


def loop(model: Any) -> None:
    node = model.graph.node.add(op_type="Loop", input=["", ""], output=["x"])
    node.attribute.add(name="body", type=AttributeProto.GRAPH).g.name = "body"


def function(model: Any) -> None:
    model.functions.add(name="f", domain="")


def sparse(model: Any) -> None:
    model.graph.sparse_initializer.add().dims.extend([2**40])


def absurd_shape(model: Any) -> None:
    model.graph.initializer.add(name="big", data_type=TensorProto.FLOAT).dims.extend([2**20, 2**20])


def negative_shape(model: Any) -> None:
    model.graph.initializer.add(name="small", data_type=TensorProto.FLOAT).dims.extend([-1, 3])


def many_parts(model: Any) -> None:
    model.graph.initializer.add(name="slow", data_type=TensorProto.INT64).int64_data.extend([0] * 600_000)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (foreign_operators, "operators of the domain 'com.microsoft'"),
        (foreign_set, "operators of the domain 'evil'"),
        (loop, "a graph inside its graph"),
        (function, "a part of the kind Function"),
        (sparse, "a part of the kind SparseTensor"),
        (absurd_shape, r"a tensor 'big' of \[1048576, 1048576\]"),
        (negative_shape, r"a tensor 'small' of \[-1, 3\]"),
        (many_parts, "more than 500,000 parts"),
    ],
)
def test_a_program_that_sadcl_never_exports_is_refused(
    change: Callable[[Any], None], words: str, tmp_path: Path
) -> None:
    model = program()
    assert loader.load_tagger(saved(tmp_path / "whole.onnx", model)).classes == ("a", "b")
    change(model)
    with pytest.raises(SadclError, match=words):
        loader.read_head(saved(tmp_path / "changed.onnx", model))


@pytest.mark.parametrize(
    "part", [b"\x3a\x02\x0a\x00", b"\x3a\x00", b"\x42\x02\x0a\x00"], ids=["graphs", "empty graphs", "operator sets"]
)
def test_a_million_empty_parts_are_refused_before_they_are_parsed(part: bytes, tmp_path: Path) -> None:
    (tmp_path / "w.onnx").write_bytes(part * 1_000_000)
    with pytest.raises(SadclError, match="more than 500,000 parts"):
        loader.read_head(tmp_path / "w.onnx")


def test_parts_inside_parts_are_refused(tmp_path: Path) -> None:
    proto = onnx.TypeProto(tensor_type={"elem_type": 1})
    for _ in range(onnx_bounds.MOST_NESTED):
        proto = onnx.TypeProto(optional_type={"elem_type": proto})
    model = program()
    model.graph.input.add(name="deep", type=proto)
    with pytest.raises(SadclError, match="ONNX model is damaged"):
        loader.read_head(saved(tmp_path / "w.onnx", model))


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "w.onnx", "wb") as file:
        file.truncate(onnx_bounds.LARGEST_FILE + 1)  # a file of holes, which takes no room
    with pytest.raises(SadclError, match=r"larger than 2\.1 GB"):
        loader.read_head(tmp_path / "w.onnx")


def test_a_computation_that_fails_is_a_sentence(tmp_path: Path) -> None:
    model = program()
    model.graph.initializer.append(numpy_helper.from_array(np.array([7, 7], np.int64), "sizes"))
    model.graph.node[1].input[0] = "wrong"
    model.graph.node.insert(1, helper.make_node("Reshape", ["means", "sizes"], ["wrong"]))
    path = saved(tmp_path / "w.onnx", model)
    with pytest.raises(SadclError, match="ONNX model is damaged"):
        loader.load_tagger(path).network(torch.zeros(1, 3, 32, 32))
