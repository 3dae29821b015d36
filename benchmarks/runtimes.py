"""Images per second of one model by runtime: torch, eager and compiled, and onnxruntime in float32 and int8."""

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sadcl import params
from sadcl.data.shards.batches import evaluation_batches
from sadcl.data.shards.reader import Shards
from sadcl.evaluation.metrics import evaluate
from sadcl.model import tagger
from sadcl.model.network import Network
from sadcl.model.tagger import Tagger
from sadcl.weights import export, loader, onnx_network

TRAINED, SHARDS = Path("models/train"), Path("data/shards")
FLOAT, INT8 = "onnxruntime", "onnxruntime, int8"
BATCH, ROUNDS, SECONDS = 32, 5, 0.5
CALIBRATED_ON = 8
"""Batches of training photos that give int8 its ranges; its loss of mAP is measured on select."""

Networks = dict[str, nn.Module]


@dataclass(frozen=True)
class Speed:
    """Images per second of a runtime: medians of rounds in which all runtimes take turns."""

    runtime: str
    one: float
    """One photo at a time."""
    batch: float
    """``BATCH`` photos at a time."""


@dataclass(frozen=True)
class Measured:
    """Speeds of all runtimes, and mAP of both ONNX models.

    Attributes:
        model: backbone, head and side.
        speeds: of each runtime.
        select: mAP on the select split of both ONNX models, in percent; None without trained weights or shards.
    """

    model: str
    speeds: list[Speed]
    select: dict[str, float] | None


def measure() -> Measured:
    """Measure the trained model, or a random one of equal shape, which has speeds only."""
    model = _model()
    model.network, model.device = model.network.to(onnx_network.CPU), onnx_network.CPU
    with tempfile.TemporaryDirectory() as folder:
        networks = _networks(model, Path(folder))
        speeds = _speeds(networks, int(model.head["preprocessing"]["side"]))
        select = {name: _map(networks[name], model) for name in (FLOAT, INT8)} if _judged() else None
    shape = model.head["model"]
    words = f"{shape['backbone']} with {shape['head']} at {model.head['preprocessing']['side']} px"
    return Measured(words + ("" if (TRAINED / "weights.safetensors").exists() else ", random weights"), speeds, select)


def lines(measured: Measured) -> Iterator[str]:
    """Format the table for ``make bench``."""
    yield f"{measured.model + ', images/s':60}{'one':>10}{BATCH:>10}{'':4}{'mAP on select':>13}"
    select = measured.select or {}
    for speed in measured.speeds:
        figure = f"{select[speed.runtime]:.2f}" if speed.runtime in select else "-"
        yield f"{speed.runtime:60}{speed.one:10.1f}{speed.batch:10.1f}{'':4}{figure:>13}"
    if select:
        yield f"int8 costs {select[FLOAT] - select[INT8]:.2f} points of mAP on select."


def _judged() -> bool:
    return (TRAINED / "weights.safetensors").exists() and (SHARDS / "select" / "index.json").exists()


def _model() -> Tagger:
    if (TRAINED / "weights.safetensors").exists():
        return loader.load_tagger(TRAINED)
    settings = params.load("model").model.for_test()
    torch.manual_seed(0)
    head = {
        "format": 1, "stage": "train", "classes": [str(j) for j in range(80)],
        "model": settings.model_dump(mode="json"),
        "preprocessing": {"side": settings.side, "mean": list(settings.mean), "std": list(settings.std)},
    }  # fmt: skip
    return Tagger(Network(settings, 80, start=False), head)


def _networks(model: Tagger, folder: Path) -> Networks:
    whole, small = folder / "weights.onnx", folder / "int8.onnx"
    export.export_onnx(model, whole)
    quantise(whole, small, _photos(model))
    onnx = {FLOAT: onnx_network.OnnxNetwork(whole), INT8: onnx_network.OnnxNetwork(small)}
    compiled: Any = torch.compile(model.network, dynamic=False)
    # torch.compile calls a C++ compiler
    optional = {"torch, compiled": compiled} if shutil.which(os.environ.get("CXX", "g++")) else {}
    return {"torch": model.network, **optional, **onnx}


def quantise(whole: Path, small: Path, photos: list[Tensor]) -> None:
    """Quantise an ONNX model to int8: weights by output channel, activations by ranges measured beforehand (static).

    Ranges computed for each photo (dynamic) leave convolutions, most of the work, slower than in float32. All operators
    are quantised, not products alone: a convolution then has the range behind its ReLU6, not before it.

    Args:
        whole: the model in float32.
        small: path of the int8 model.
        photos: batches [B, 3, S, S] for the ranges.
    """
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Photos(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = iter(photos)

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self.left, None)
            return None if batch is None else {"images": batch.contiguous().numpy()}

    ready = small.with_suffix(".ready.onnx")
    with export.silence():
        quant_pre_process(whole, ready, skip_symbolic_shape=True)
        unsigned = quantization.QuantType.QUInt8  # x86's int8 products take unsigned activations and signed weights
        quantization.quantize_static(ready, small, Photos(), per_channel=True, activation_type=unsigned)
    _drop_unused_domains(small)


def _drop_unused_domains(path: Path) -> None:
    """Remove operator sets without an operator in the model: the quantiser lists all, sadcl refuses foreign ones."""
    import onnx

    model = onnx.load(path)
    used = {node.domain for node in model.graph.node}
    sets = [opset for opset in model.opset_import if opset.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(sets)
    onnx.save(model, path)


def _photos(model: Tagger) -> list[Tensor]:
    """Load training photos, or noise where there are none."""
    settings = params.Model(**model.head["model"]).for_test()
    if not (SHARDS / "train" / "index.json").exists():
        return [torch.randn(BATCH, 3, settings.side, settings.side)]
    batches = evaluation_batches(Shards(SHARDS / "train"), settings, BATCH)
    return [batch.images for batch in islice(batches, CALIBRATED_ON)]


def _speeds(networks: Networks, side: int) -> list[Speed]:
    single, batched = (_rates(networks, count, side) for count in (1, BATCH))
    return [Speed(name, single[name], batched[name]) for name in networks]


def _rates(networks: Networks, count: int, side: int) -> dict[str, float]:
    """Measure images per second, after a first call, which compiles."""
    images = torch.randn(count, 3, side, side).contiguous(memory_format=torch.channels_last)
    rates: dict[str, list[float]] = {name: [] for name in networks}
    with torch.inference_mode(), export.silence():
        for network in networks.values():
            network(images)
        for _ in range(ROUNDS):
            for name, network in networks.items():
                rates[name].append(count / _seconds(lambda network=network: network(images)))  # type: ignore[misc]
    return {name: statistics.median(values) for name, values in rates.items()}


def _seconds(call: Callable[[], Any]) -> float:
    started, calls, gone = time.perf_counter(), 0, 0.0
    while gone < SECONDS:
        call()
        calls, gone = calls + 1, time.perf_counter() - started
    return gone / calls


def _map(network: nn.Module, model: Tagger) -> float:
    select, settings = Shards(SHARDS / "select"), params.Model(**model.head["model"]).for_test()
    scores = tagger.sigmoid(tagger.logits(network, evaluation_batches(select, settings, BATCH), model.device))
    return float(evaluate(scores, select.targets, select.ignored)["mAP"])
