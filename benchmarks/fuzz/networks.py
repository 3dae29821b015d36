"""Fuzzed weights and ONNX files of a registered version."""

import json
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from benchmarks.fuzz.mutation import structure, text
from benchmarks.fuzz.version_file import BIG, CLASSES, SETTINGS, SIDE, head
from sadcl import params


@cache
def _tensors() -> dict[str, Any]:
    """Tensors of the network that the unchanged head describes."""
    import torch

    from sadcl.model.network import Network

    torch.set_num_threads(1)
    torch.manual_seed(0)
    state = Network(params.Model.model_validate(SETTINGS["model"]), len(CLASSES), start=False).state_dict()
    return {f"raw.network.{name}": tensor for name, tensor in state.items()}


@cache
def _weights() -> tuple[dict[str, Any], bytes]:
    """Header of a valid weights file, and its tensors' bytes."""
    from safetensors.torch import save

    data = save(_tensors())
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def weights(rng: Random) -> dict[str, bytes]:
    """Draw a weights file, with other shapes, types and offsets in its header."""
    header, tensors = json.loads(json.dumps(_weights()[0])), _weights()[1]
    for _ in range(rng.choice((0, 0, 0, 1, 3))):
        name = rng.choice(sorted(header))
        way = rng.randrange(6)
        if way == 0:
            header[name]["shape"] = [rng.choice(BIG) for _ in range(rng.randrange(4))]
        elif way == 1:
            header[name]["dtype"] = rng.choice(("F64", "F16", "BF16", "I64", "BOOL", "F8_E5M2", "C64", "F4", "X", ""))
        elif way == 2:
            header[name]["data_offsets"] = [rng.choice(BIG), rng.choice(BIG)]
        elif way == 3:
            header[f"{name}{rng.choice(('x', '.y'))}"] = header.pop(name)
        elif way == 4:
            header |= {f"raw.{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(30_000)}
            break
        else:
            tensors = tensors[:-4] + rng.choice((b"\0\0\xc0\x7f", b"\0\0\x80\x7f", b""))
    header["__metadata__"] = {"sadcl": text(rng, head(rng)).decode("utf-8", "surrogatepass")}
    content = text(rng, structure(rng, header, rng.choice((0, 0, 0, 0, 1))))
    length = len(content) if rng.random() < 0.95 else rng.choice((0, 2**32, 2**63, len(content) // 2, 99_999_999))
    return {"weights.safetensors": length.to_bytes(8, "little") + content + tensors}


def read_weights(root: Path) -> None:
    """Read head, tensors and network, and make a tagger of it."""
    from sadcl.weights import checkpoint, loader

    path = root / "weights.safetensors"
    loader.read_head(path)
    checkpoint.load_tensors(path)
    loader.load_tagger(path)


OPERATORS = (
    "Loop", "If", "Scan", "Identity", "Relu", "Expand", "Range", "ConstantOfShape", "Tile", "Resize", "Einsum", "Cast",
    "NonZero", "Unknown", "FusedConv", "SequenceConstruct", "StringNormalizer", "RandomNormalLike", "Constant",
)  # fmt: skip


def onnx(rng: Random) -> dict[str, bytes]:
    """Draw an ONNX file, with other operators, shapes and places of tensors."""
    from onnx import AttributeProto, TensorProto, helper, numpy_helper

    matrix = numpy_helper.from_array(np.ones((3, len(CLASSES)), np.float32), "matrix")
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["means"], axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", ["means", "matrix"], ["logits"]),
    ]
    inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(CLASSES)])]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, [matrix])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    for _ in range(rng.choice((0, 0, 1, 1, 2))):
        way, tensor = rng.randrange(8), model.graph.initializer[0]
        if way == 0:
            del tensor.dims[:]
            tensor.dims.extend(rng.choice((0, 1, 3, -1, 2**20, 2**40, 2**62)) for _ in range(rng.randrange(5)))
        elif way == 1:
            tensor.data_location = TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value=rng.choice(("/etc/passwd", "weights.onnx", "../a")))
        elif way == 2:
            node = model.graph.node.add(
                op_type=rng.choice(OPERATORS), domain=rng.choice(("", "", "com.microsoft", "x"))
            )
            node.input.extend(rng.choice(("images", "means", "matrix", "sizes", "")) for _ in range(rng.randrange(4)))
            node.output.append(rng.choice(("other", "logits")))
            if rng.random() < 0.5:
                node.attribute.add(name="body", type=AttributeProto.GRAPH).g.CopyFrom(graph)
        elif way == 3:
            sizes = np.array([rng.choice((1, 3, 100, 10**4)) for _ in range(2)], np.int64)
            model.graph.initializer.append(numpy_helper.from_array(sizes, "sizes"))
            model.graph.node.add(op_type="Expand", input=["matrix", "sizes"], output=["other"])
        elif way == 4:
            model.opset_import.add(domain=rng.choice(("com.microsoft", "x", "ai.onnx.ml")), version=rng.choice((1, 99)))
        elif way == 5:
            model.functions.add(name="f", domain=rng.choice(("", "x")))
        elif way == 6:
            model.graph.node.extend(model.graph.node.add() for _ in range(rng.choice((1, 3_000))))
        else:
            model.graph.input[0].type.tensor_type.shape.dim[rng.randrange(4)].dim_value = rng.choice((-1, 0, 7, 2**40))
    model.metadata_props.add(key="sadcl", value=text(rng, head(rng)).decode("utf-8", "replace"))
    content = model.SerializeToString()
    if rng.random() < 0.03:
        content += rng.choice((b"\x3a\x00", b"\x3a\x02\x0a\x00", b"\x0a", b"\x7a\x02\x08")) * 600_000
    return {"weights.onnx": content}


def read_onnx(root: Path) -> None:
    """Read head and network, and compute one photo."""
    import torch

    from sadcl.weights import loader

    path = root / "weights.onnx"
    loader.read_head(path)
    tagger = loader.load_tagger(path)
    tagger.network(torch.zeros(1, 3, SIDE, SIDE), attention=True)
