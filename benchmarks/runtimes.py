"""Images a second of one model by what computes it: torch as it is and compiled, onnxruntime in float32 and int8."""

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
"""Batches of training photos that give int8 its ranges; the cost is then seen on select, which they are not from."""

Networks = dict[str, nn.Module]


@dataclass(frozen=True)
class Speed:
    """Images a second of a runtime, medians of rounds in which all runtimes took turns."""

    runtime: str
    one: float
    """One photo at a time."""
    batch: float
    """``BATCH`` photos at a time."""


@dataclass(frozen=True)
class Measured:
    """Speeds, and what int8 costs.

    Attributes:
        model: what was measured, in words.
        speeds: of each runtime.
        select: mAP on the select split of both ONNX models, in percent; None without trained weights or shards.
    """

    model: str
    speeds: list[Speed]
    select: dict[str, float] | None


def measure() -> Measured:
    """Measure the trained model, or without one a random one of the same shape, which has speeds only."""
    model = _model()
    model.network, model.device = model.network.to(onnx_network.CPU), onnx_network.CPU
    with tempfile.TemporaryDirectory() as folder:
        networks = _networks(model, Path(folder))
        speeds = _speeds(networks, int(model.head["preprocessing"]["side"]))
        select = {name: _map(networks[name], model) for name in (FLOAT, INT8)} if _judged() else None
    shape = model.head["model"]
    words = f"{shape['backbone']} with {shape['head']} at {model.head['preprocessing']['side']} px"
    return Measured(words + ("" if (TRAINED / "weights.safetensors").exists() else ", random weights"), speeds, select)


def lines(found: Measured) -> Iterator[str]:
    """The table that ``make bench`` prints."""
    yield f"{found.model + ', images/s':60}{'one':>10}{BATCH:>10}{'':4}{'mAP on select':>13}"
    select = found.select or {}
    for speed in found.speeds:
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
    there = {"torch, compiled": compiled} if shutil.which(os.environ.get("CXX", "g++")) else {}  # it calls a compiler
    return {"torch": model.network, **there, **onnx}


def quantise(whole: Path, small: Path, photos: list[Tensor]) -> None:
    """An ONNX model in int8: weights by output channel, activations by ranges that photos showed beforehand (static).

    Ranges found anew for each photo (dynamic) leave convolutions slower than in float32, and they are most of the work.
    All operators are taken, not the products alone: a convolution then has the range behind its ReLU6, not before it.

    Args:
        whole: in float32.
        small: where to write.
        photos: batches [B, 3, S, S] that give the ranges.
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
        unsigned = quantization.QuantType.QUInt8  # what x86's int8 products take beside signed weights
        quantization.quantize_static(ready, small, Photos(), per_channel=True, activation_type=unsigned)


def _photos(model: Tagger) -> list[Tensor]:
    """Training photos, or noise where there are none."""
    settings = params.Model(**model.head["model"]).for_test()
    if not (SHARDS / "train" / "index.json").exists():
        return [torch.randn(BATCH, 3, settings.side, settings.side)]
    batches = evaluation_batches(Shards(SHARDS / "train"), settings, BATCH)
    return [batch.images for batch in islice(batches, CALIBRATED_ON)]


def _speeds(networks: Networks, side: int) -> list[Speed]:
    one, many = (_rates(networks, count, side) for count in (1, BATCH))
    return [Speed(name, one[name], many[name]) for name in networks]


def _rates(networks: Networks, count: int, side: int) -> dict[str, float]:
    """Images a second, after a call that does not count (it compiles)."""
    images = torch.randn(count, 3, side, side).contiguous(memory_format=torch.channels_last)
    rates: dict[str, list[float]] = {name: [] for name in networks}
    with torch.inference_mode(), export.silence():
        for network in networks.values():
            network(images)
        for _ in range(ROUNDS):
            for name, network in networks.items():
                rates[name].append(count / _seconds(lambda network=network: network(images)))  # type: ignore[misc]
    return {name: statistics.median(found) for name, found in rates.items()}


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
