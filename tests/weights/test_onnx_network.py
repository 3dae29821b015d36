"""ONNX files computed by onnxruntime: damaged, foreign and malicious files are refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import sadcl
from sadcl.errors import SadclError
from sadcl.weights import onnx_network
from tests.weights.small_models import Exported


def without_head(data: bytes) -> bytes:
    proto = onnx.load_from_string(data)
    del proto.metadata_props[:]
    return bytes(proto.SerializeToString())


def other_head(**change: Any) -> Callable[[bytes], bytes]:
    def damage(data: bytes) -> bytes:
        proto = onnx.load_from_string(data)
        proto.metadata_props[0].value = json.dumps({**json.loads(proto.metadata_props[0].value), **change})
        return bytes(proto.SerializeToString())

    return damage


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: b"", "ONNX model is damaged"),
        (lambda data: b"weights", "ONNX model is damaged"),
        (lambda data: data[: len(data) // 2], "ONNX model is damaged"),
        (without_head, "sadcl did not write"),
        (other_head(format=3), "format 3"),
        (other_head(classes=["one"], thresholds=None), "shapes differ from those in its head"),
        (other_head(thresholds=[0.5]), "no usable thresholds"),
    ],
)
def test_damaged_or_foreign_onnx_file_is_refused(
    exported: Exported, tmp_path: Path, damage: Callable[[bytes], bytes], words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "weights.onnx"
    file.write_bytes(damage((exported("ml_decoder")[1] / "weights.onnx").read_bytes()))
    capfd.readouterr()
    with pytest.raises(SadclError, match=words) as caught:
        sadcl.load(file)
    assert caught.value.where == file
    assert caught.value.fix
    assert capfd.readouterr() == ("", "")


def with_external_tensor(path: Path, secret: Path, location: str) -> Path:
    """An exported model, one tensor of which holds the first 24 bytes of another file."""
    proto = onnx.load(path)
    reference = onnx.TensorProto(
        name="leak", dims=[6], data_type=onnx.TensorProto.FLOAT, data_location=onnx.TensorProto.EXTERNAL
    )
    for key, value in {"location": secret.name, "offset": "0", "length": "24"}.items():
        reference.external_data.add(key=key, value=value)
    if location == "initializer":
        proto.graph.initializer.append(reference)
    elif location == "attribute":
        proto.graph.node.append(onnx.helper.make_node("Constant", [], ["leak"], value=reference))
    else:
        branch = onnx.GraphProto(name="branch", initializer=[reference])
        branch.output.append(onnx.helper.make_tensor_value_info("leak", onnx.TensorProto.FLOAT, [6]))
        condition = onnx.helper.make_tensor("condition", onnx.TensorProto.BOOL, [], [True])
        proto.graph.initializer.append(condition)
        proto.graph.node.append(
            onnx.helper.make_node("If", ["condition"], ["leaked"], then_branch=branch, else_branch=branch)
        )
    if location != "branch":
        proto.graph.node.append(onnx.helper.make_node("Identity", ["leak"], ["leaked"]))
    proto.graph.output.append(onnx.helper.make_tensor_value_info("leaked", onnx.TensorProto.FLOAT, [6]))
    crafted = path.with_name("crafted.onnx")
    crafted.write_bytes(proto.SerializeToString())
    return crafted


@pytest.mark.parametrize("location", ["initializer", "attribute", "branch"])
def test_external_tensor_is_refused(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, location: str
) -> None:
    """Otherwise a trainer's model could read the administrator's password from the review page's folder."""
    monkeypatch.chdir(tmp_path)
    secret = tmp_path / "administrator.json"
    secret.write_text('{"password": "correct horse battery staple"}')
    crafted = with_external_tensor(exported("pooling")[1] / "weights.onnx", secret, location)
    with pytest.raises(SadclError, match=r"'leak' of this ONNX model is stored in another file.*sadcl export"):
        sadcl.load(crafted)


def test_session_resolves_external_tensors_in_an_empty_folder(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Second line of defence, for an external tensor that the check might overlook."""
    monkeypatch.chdir(tmp_path)
    secret = tmp_path / "administrator.json"
    secret.write_text('{"password": "correct horse battery staple"}')
    data = with_external_tensor(exported("pooling")[1] / "weights.onnx", secret, "initializer").read_bytes()
    unguarded = onnxruntime.SessionOptions()
    unguarded.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(data, unguarded, providers=["CPUExecutionProvider"])
    [leaked] = session.run(["leaked"], {"images": np.zeros((1, 3, 64, 64), np.float32)})
    assert leaked.tobytes() == secret.read_bytes()[:24]
    (tmp_path / "empty").mkdir()
    guarded = onnx_network.session_options(tmp_path / "empty", fast=False)
    with pytest.raises(Exception, match=r"administrator\.json"):
        onnxruntime.InferenceSession(data, guarded, providers=["CPUExecutionProvider"])


def test_onnxruntime_own_format_is_refused(tmp_path: Path) -> None:
    """onnxruntime's other format has no check for tensors in other files."""
    path = tmp_path / "weights.onnx"
    path.write_bytes(b"\x18\x00\x00\x00ORTM" + b"\x00" * 64)
    with pytest.raises(SadclError, match="ONNX model is damaged"):
        sadcl.load(path)
