"""Files of a registered version, valid or nearly so, and how each is read; one line a format in ``VERSION_FILES``.

Whoever registers a version writes them; they are read by commands, the registry's server and the review page.
"""

import copy
import io
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from benchmarks.fuzz.mutation import pick, structure, text
from sadcl import bounded_json, files, params
from sadcl.registry import artifacts, eligibility, model_code, model_files

CLASSES = ("cat", "dog", "kite")
SIDE = 32
BIG = (5_000, 65_535, 10**6, 10**9, 2**31, 2**63, -1, 0, 1.5, 1e300)
"""Sizes that somebody may claim."""
RECIPE = params.RECIPES / "demo.yaml"
SETTINGS: dict[str, Any] = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))
SETTINGS["model"] |= {
    "backbone": "test_efficientnet", "weights": "random", "side": SIDE, "width": 16, "heads": 2, "feedforward": 16,
    "embedding": 8, "output_stride": 32,
}  # fmt: skip
DIGESTS = {name: digit * 64 for name, digit in (("weights", "0"), ("test_list", "1"), ("labels", "2"), ("shards", "3"))}


class VersionFile(NamedTuple):
    """A format.

    Attributes:
        draw: content by file name.
        read: reads the files in a folder as the project does; raises ``SadclError`` where they are refused.
    """

    draw: Callable[[Random], dict[str, bytes]]
    read: Callable[[Path], None]


def _head(rng: Random) -> Any:
    """Head of a weights or ONNX file, sometimes changed."""
    head: dict[str, Any] = {
        "format": 1, "stage": "train", "classes": list(CLASSES), "best": "raw",
        "model": copy.deepcopy(SETTINGS["model"]), "thresholds": [0.5] * 3,
        "preprocessing": {"side": SIDE, "mean": [0.5] * 3, "std": [0.5] * 3},
        "calibration": {"slope": [1.0] * 3, "bias": [0.0] * 3}, "seen": ["0" * 16], "epoch": 1,
    }  # fmt: skip
    if rng.random() < 0.3:
        head["model"][rng.choice(sorted(head["model"]))] = rng.choice((*BIG, "resnet101", "sarl", "csra"))
    if rng.random() < 0.1:
        head["classes"] = [str(i) for i in range(rng.choice((0, 1, 4, 200_000)))]
    if rng.random() < 0.1:
        head["preprocessing"]["side"] = rng.choice(BIG)
    return structure(rng, head, rng.choice((0, 0, 1, 3)))


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
    header["__metadata__"] = {"sadcl": text(rng, _head(rng)).decode("utf-8", "surrogatepass")}
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
    model.metadata_props.add(key="sadcl", value=text(rng, _head(rng)).decode("utf-8", "replace"))
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


def scores(rng: Random) -> dict[str, bytes]:
    """Draw scores of a few images, with other columns, types and metadata."""
    n, width = rng.choice((0, 1, 2, 5)), len(CLASSES)
    about: dict[str, Any] = {
        "classes": list(CLASSES), "digests": DIGESTS, "cost": {"sadcl": {"bytes": 1, "parameters": 1}}, "refused": None,
        "seen": {"sadcl": 0}, "decisions": {"sadcl": {"slope": [1.0] * 3, "bias": [0.0] * 3, "thresholds": [0.5] * 3}},
    }  # fmt: skip
    if rng.random() < 0.1:
        about["classes"] = [str(i) for i in range(rng.choice((0, 2, 10**5)))]
    numbers = pick(rng, (0.5, -3.0), (float("nan"), float("inf"), 3e38), 0.05)
    columns: dict[str, pa.Array] = {
        "id": pa.array([str(i) for i in range(n)], pa.string()),
        "sha256": pa.array(["c" * 64] * n, pa.string()),
        "targets": pa.array([sorted({rng.randrange(width)}) for _ in range(n)], pa.list_(pa.int32())),
        "ignored": pa.array([[] for _ in range(n)], pa.list_(pa.int32())),
        "slice_side": pa.array([rng.choice((1, 2)) for _ in range(n)], pa.int64()),
        "logits_sadcl": pa.array([[numbers] * width for _ in range(n)], pa.list_(pa.float32())),
        "logits_sadcl@blur": pa.array([[0.5] * width for _ in range(n)], pa.list_(pa.float32())),
    }
    long = rng.choice((10, 10**4, 10**6, 3 * 10**6))
    odd: tuple[Callable[[], pa.Array], ...] = (
        lambda: pa.nulls(n), lambda: pa.array([2**62] * n), lambda: pa.array(["x"] * n),
        lambda: pa.array([{"a": 1}] * n),
        lambda: pa.array([[width]] * n, pa.list_(pa.int32())), lambda: pa.array([[-1]] * n, pa.list_(pa.int32())),
        lambda: pa.array([None] * n, pa.list_(pa.float32())),
        lambda: pa.array([[None] * width] * n, pa.list_(pa.int32())),
        lambda: pa.array([np.zeros(long // max(n, 1), np.float32)] * n), lambda: pa.array([[["x"]]] * n),
        lambda: pa.array(["x" * 1000] * n).dictionary_encode(), lambda: pa.array([b"\xff"] * n),
        lambda: pa.array([np.zeros(long // max(n, 1), np.int32)] * n),
    )  # fmt: skip
    for _ in range(rng.choice((0, 0, 0, 1, 2))):
        name = rng.choice(sorted(columns))
        way = rng.randrange(4)
        if way == 0:
            del columns[name]
            break
        if way == 1:
            columns[f"{name}{rng.choice(('', 'x'))}"] = columns.pop(name)
        else:
            columns[rng.choice((name, "slice_x", "logits_x"))] = rng.choice(odd)()
    if rng.random() < 0.03:
        columns |= {f"slice_{i}": pa.nulls(n) for i in range(1_200)}
    compression, small = rng.choice(("zstd", "none", "gzip")), rng.random() < 0.7
    if n and rng.random() < 0.05 and sum(array.nbytes for array in columns.values()) < 10_000:
        # a million equal rows only where they make a small file: a large one may take memory
        many = 10**6 if small and compression != "none" else 10**5
        rows = pa.array(np.zeros(rng.choice((10**4, many)), np.int64))
        columns = {name: array.take(rows) for name, array in columns.items()}
    table = pa.table(columns).replace_schema_metadata(
        {"sadcl": text(rng, structure(rng, about, rng.choice((0, 0, 1))))}
    )
    out = io.BytesIO()
    pq.write_table(
        table, out, compression=compression, use_dictionary=small,
        row_group_size=rng.choice((1, None)) if len(table) < 100 else None,
    )  # fmt: skip
    return {"scores.parquet": out.getvalue()}


def read_scores(root: Path) -> None:
    """Read scores, and compute the figures that a page shows."""
    from sadcl.evaluation.scores import read_scores

    read = read_scores(root / "scores.parquet")
    read.labels_digest()
    assert len(read.ids) == len(read.sha256) == len(read.targets)
    for name in read.models:
        with np.errstate(all="ignore"):
            if len(read) < 1000:
                read.figures(name, 0.5)
            read.in_use(name)


ODD_YAML = (
    b"\n? [a]\n: b", b"\nx: !!python/name:os.system", b"\nx: 2001-99-99", b"\nx: &a *a", b"\n- a", b"\nx: .inf",
    b"\nx: 0x" + b"f" * 9000, b"\nx: " + b"1:" * 9000 + b"1", b"\nx: !!binary x",
)  # fmt: skip


def settings(rng: Random) -> dict[str, bytes]:
    """Draw a params.yaml, with other values, anchors and merges."""
    value = structure(rng, json.loads(json.dumps(SETTINGS)), rng.choice((0, 1, 2, 5)))
    content = text(rng, value) if rng.random() < 0.5 else yaml.safe_dump(value).encode()
    if rng.random() < 0.3:
        part = rng.choice(("[{}]", "{{<<: [{}]}}", "{{a: {}}}"))
        many, levels = rng.choice((1, 9)), range(1, rng.choice((3, 12)))
        lines = [f"a{i}: &a{i} {part.format(', '.join([f'*a{i - 1}'] * many))}\n" for i in levels]
        content = ("a0: &a0 {x: 1}\n" + "".join(lines)).encode() + content
    if rng.random() < 0.1:
        content += rng.choice(ODD_YAML)
    return {"params.yaml": content}


def read_params(root: Path) -> None:
    """Read settings as a page and as a stage do."""
    value = params.read_settings(root / "params.yaml")
    _parse("Settings", value, "params.yaml")
    params.parse(value, root / "params.yaml")


def _metrics(rng: Random) -> dict[str, Any]:  # noqa: ARG001 - as `_verdict`
    figures = {"mAP": 80.0, "CF1": 70.0, "OF1": 71.0, "ECE": 2.0, "top3": {"mAP": None, "CF1": 60.0}}
    return {
        "sadcl": dict(figures), "sarl": dict(figures), "images": 2, "chosen": "ema", "digests": dict(DIGESTS),
        "threshold": 0.5, "cost": {"bytes": 1, "parameters": 2}, "seen_in_training": 0,
    }  # fmt: skip


def _verdict(rng: Random) -> dict[str, Any]:
    rule = {"kind": "absolute", "result": "pass", "words": "mAP is 80", "metric": "mAP"}
    by_slice = {"kind": "slice", "result": "pass", "words": "all", "column": "side", "metric": "mAP", "min_images": 1}
    interval = {"model": [80.0, 79.0, 81.0], "champion": None, "difference": None}
    return {
        "verdict": "pass", "words": "All rules hold.", "model": "0" * 64, "test": "1" * 64, "champion": None,
        "rules": [rule, *([by_slice] if rng.random() < 0.3 else [])], "intervals": {"mAP": interval},
        "digests": dict(DIGESTS), "settings": "4" * 64,
    }  # fmt: skip


def _document(name: str, make: Callable[[Random], Any], schema: str) -> VersionFile:
    """A JSON file that pages read by a schema."""

    def draw(rng: Random) -> dict[str, bytes]:
        value = structure(rng, make(rng), rng.choice((0, 1, 2, 5)))
        content = text(rng, value)
        if rng.random() < 0.05:
            content = rng.choice((b"[" * 10**6, b"[" + b"[]," * 2_000_000 + b"[]]", b'{"a":' * 10**5, b"1" * 10**7,
                                  b'{"rules":[' + b"{}," * 10**6 + b"{}]}"))  # fmt: skip
        return {name: content}

    def read(root: Path) -> None:
        value = bounded_json.read(root / name)
        files.digest_of(value)
        _parse(schema, value, name)

    return VersionFile(draw, read)


def _parse(schema: str, value: Any, name: str) -> None:
    from sadcl.review import schemas

    schemas.parse(getattr(schemas, schema), value, name, "version 1")


def card(rng: Random) -> dict[str, bytes]:
    """Draw figures and verdict of a model card."""
    metrics, verdict = _metrics(rng), _verdict(rng)
    changed = structure(rng, {"metrics": metrics, "verdict": verdict}, rng.choice((0, 1, 1, 3)))
    return {"card.json": text(rng, changed)}


def read_card(root: Path) -> None:
    """Render the model card of a project with these figures and this verdict."""
    from sadcl import layout
    from sadcl.evaluation import scores as score_files
    from sadcl.registry.model_card import card
    from sadcl.registry.stage_outputs import StageOutputs

    value = bounded_json.read(root / "card.json")
    if not isinstance(value, dict) or not {"metrics", "verdict"} <= value.keys():
        return
    outputs = StageOutputs(root, SETTINGS, "tiny", 0, Path("w"), "0" * 64, value["metrics"], value["verdict"])
    model = {"head": {"classes": list(CLASSES), "model": SETTINGS["model"], "thresholds": [0.5] * 3}}
    outputs.__dict__.update(model)  # a cached property: the head of weights is another format
    nobody = np.zeros((2, len(CLASSES)), dtype=bool)
    logits = {"sadcl": np.ones((2, len(CLASSES)), np.float32)}
    score_files.write_scores(
        root / layout.SCORES, score_files.Scores(["1", "2"], ["c" * 64] * 2, CLASSES, ~nobody, nobody, logits=logits)
    )
    files.write_json(root / layout.VALIDATION, {"passed": True})
    card.render(card.collect(outputs), "1", {})


@cache
def _tags() -> dict[str, str]:
    """Tags of a version with a model that sadcl registered."""
    requirements = [f"{name}==1.0" for name in model_files.REQUIRED]
    flavor = {
        "artifacts": {name: {"path": f"artifacts/{file}", "uri": "x"} for name, file in
                      (("weights", "weights.safetensors"), ("code", "code.json"))},
        "code": None, "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"}, "python_version": "3.11.7",
        "loader_module": "mlflow.pyfunc.loaders.code_model", "model_code_path": "/a/pyfunc_loader.py",
    }  # fmt: skip
    contents = {
        "MLmodel": yaml.safe_dump({"flavors": {"python_function": flavor}, "run_id": "0" * 32}),
        "conda.yaml": yaml.safe_dump({"channels": ["conda-forge"], "name": "mlflow-env",
                                      "dependencies": ["python=3.11.7", "pip<=23", {"pip": requirements}]}),
        "python_env.yaml": yaml.safe_dump({"python": "3.11.7", "build_dependencies": ["pip==23"],
                                           "dependencies": ["-r requirements.txt"]}),
        "requirements.txt": "\n".join(requirements),
        "artifacts/code.json": model_code.installed().text(),
    }  # fmt: skip
    texts = {f"model/{name}": content for name, content in contents.items()}
    pins = {name: files.digest_of_text(content) for name, content in texts.items()}
    pins |= {artifacts.WEIGHTS: "0" * 64, model_code.LOADER: min(model_code.LOADERS)}
    tags = {artifacts.PINS: json.dumps(pins), model_code.TEXTS: json.dumps(texts)}
    assert [*model_code.objections(tags)] == []
    return tags


def tags(rng: Random) -> dict[str, bytes]:
    """Draw tags of a version, with other files of the model, pinned as they are."""
    pins, texts = (json.loads(_tags()[name]) for name in (artifacts.PINS, model_code.TEXTS))
    for _ in range(rng.choice((0, 1, 2))):
        name = rng.choice(sorted(texts))
        value = structure(rng, yaml.safe_load(json.loads(_tags()[model_code.TEXTS])[name]), rng.choice((1, 2)))
        texts[name] = text(rng, value).decode("utf-8", "replace")
        pins[name] = files.digest_of_text(texts[name])
    value = {artifacts.PINS: pins, model_code.TEXTS: texts}
    return {"tags.json": text(rng, structure(rng, value, rng.choice((0, 0, 1))))}


def read_tags(root: Path) -> None:
    """Ask the promotion rules about a version."""
    value = bounded_json.read(root / "tags.json")
    parts = value.items() if isinstance(value, dict) else ()
    named = {name: part if isinstance(part, str) else json.dumps(part) for name, part in parts}
    for objection in eligibility.objections(named, None, {}, None):
        objection.sentence.encode("utf-8", "backslashreplace")
    model_code.is_current(named)


VERSION_FILES: dict[str, VersionFile] = {
    "weights": VersionFile(weights, read_weights), "onnx": VersionFile(onnx, read_onnx),
    "scores": VersionFile(scores, read_scores), "params": VersionFile(settings, read_params),
    "verdict": _document("verdict.json", _verdict, "Verdict"),
    "metrics": _document("metrics.json", _metrics, "Metrics"),
    "card": VersionFile(card, read_card), "tags": VersionFile(tags, read_tags),
}  # fmt: skip
