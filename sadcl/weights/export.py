"""A trained model as files that need none of this package: ONNX, and torch.export's.

What is written is the network for use alone (no projector, no memory), in float32, for any number of photos at a
time. The weights' head travels inside: class names, preprocessing, and where they were fitted ``calibration`` and
``thresholds``. A label is given where sigmoid(slope * logit + bias) lies above its threshold; without them, slope is 1,
bias 0 and the threshold 0.5.
"""

import copy
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sadcl import extras, files, params
from sadcl.data.shards.batches import evaluation_batches
from sadcl.data.shards.reader import Shards
from sadcl.errors import SadclError
from sadcl.model import tagger
from sadcl.model.network import Network
from sadcl.model.tagger import Tagger
from sadcl.progress import track
from sadcl.weights import loader
from sadcl.weights.onnx_network import CPU, HEAD, SUFFIX, OnnxNetwork

OPSET = 18
"""The one that torch's exporter is written in (any other is a conversion), and old enough for other runtimes too."""
TOLERANCE = 1e-4
"""How far a score may lie from the original's."""
COMPARED = 1024
"""Test photos at most that ``report`` scores with both: more of them take hours with a large network."""
NOISY = ("root", "onnxscript", "onnx_ir", "torch.onnx", "torch.export", "torch._dynamo")


def report(model: Tagger, folder: Path, test: Path = Path("data/shards/test")) -> Iterator[str]:
    """Export a model, and say what was made and how far it lies from the original on the project's test photos.

    Args:
        model: the original.
        folder: for the files.
        test: the shards of test photos; where there are none of this model's classes, photos of noise have to do.

    Raises:
        SadclError: as ``export_files``; nothing is left where test photos are scored differently.
    """
    paths = export_files(model, folder)
    photos = Shards(test) if (test / "index.json").exists() else None
    if photos is not None and tuple(photos.classes) == model.classes:
        try:
            most = difference(model, loader.load_tagger(paths[0]), photos, at_most=COMPARED)
        except SadclError:
            for path in paths:
                path.unlink()
            raise
        yield f"On {min(len(photos), COMPARED)} test photos no score of the ONNX file differs by more than {most:.1e}"
    else:
        yield "Compared on photos of noise only: there are no test photos of these classes here"
    yield from (f"{path} ({path.stat().st_size / 1e6:.1f} MB)" for path in paths)


def export_files(model: Tagger, folder: Path) -> list[Path]:
    """Write ``weights.export_onnx`` and ``weights.pt2``, both checked against the original.

    Raises:
        SadclError: the network can't be exported, or scores differently then; or a library is not installed.
    """
    traced = _trace(model)
    paths = [folder / f"weights{SUFFIX}", folder / "weights.pt2"]
    _write_onnx(traced, paths[0])
    _write_torch(traced, paths[1])
    return paths


def export_onnx(model: Tagger, path: Path) -> None:
    """Write the ONNX file alone: the same weights give the same bytes.

    Raises:
        SadclError: as ``export_files``.
    """
    _write_onnx(_trace(model), path)


def difference(model: Tagger, exported: Tagger, test: Shards, at_most: int | None = None, batch: int = 32) -> float:
    """The largest difference between two models' scores on prepared photos.

    Args:
        model: the original.
        exported: the same from another file.
        test: photos that both score.
        at_most: so many of them, the first; all by default.
        batch: photos at a time.

    Raises:
        SadclError: it is more than ``TOLERANCE``.
    """
    most, settings = 0.0, params.Model(**model.head["model"]).for_test()
    count = -(-min(len(test), at_most or len(test)) // batch)
    batches = islice(evaluation_batches(test, settings, batch), count)
    for photos in track(batches, "test photos, original and exported", total=count, each=batch):
        one, other = (
            torch.as_tensor(tagger.logits(m.network, [photos], m.device)).double().sigmoid() for m in (model, exported)
        )
        most = float(np.maximum(most, float((one - other).abs().max())))  # a NaN stays one
    return _within(most, test.directory)


class _Plain(nn.Module):
    """The network with tensors in and out: logits [B, C], and attention [B, C, h, w] where the head has it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).to(CPU, torch.float32).eval().requires_grad_(False)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        out = self.network(images, attention=True)
        return (out.logits,) if out.attention is None else (out.logits, out.attention)


@dataclass(frozen=True)
class _Traced:
    """A network in float32 on the CPU, and torch.export's program of it.

    ``head`` is the weights' as JSON, ``named`` says in an error what it is about.
    """

    network: _Plain
    program: Any
    side: int
    head: str
    named: str


def _trace(model: Tagger) -> _Traced:
    """With a free first axis.

    Strict: without that ``len(images)`` in a head would fix the number of photos to that of the example.
    """
    for library in ("onnx", "onnxscript"):
        extras.load(library)
    if not isinstance(model.network, Network):
        raise SadclError("This model was exported already", fix="Export the weights that it was made of")
    head = model.head
    side, named = int(head["preprocessing"]["side"]), f"{head['model'].get('backbone')}, {head['model'].get('head')}"
    plain, free = _Plain(model.network), {0: torch.export.Dim("batch", min=1)}
    with _plain_words(named), torch.no_grad():
        program = torch.export.export(plain, (_noise(2, side),), dynamic_shapes=(free,), strict=True)
    for node in program.graph.nodes:  # where the code lay on this machine
        node.meta.pop("stack_trace", None)
    return _Traced(plain, program, side, json.dumps(head, sort_keys=True, ensure_ascii=False), named)


def _write_onnx(traced: _Traced, path: Path) -> None:
    outputs = ["logits", "attention"][: len(traced.program.graph_signature.user_outputs)]
    with _plain_words(traced.named):
        made: Any = torch.onnx.export(
            traced.program, (), dynamo=True, opset_version=OPSET, input_names=["images"], output_names=outputs,
            verbose=False, external_data=False,
        )  # fmt: skip
        data = _plain_bytes(made.model_proto, traced.head)
    with files.atomic_write(path) as beside:
        beside.write_bytes(data)
        _same_scores(traced, OnnxNetwork(beside))


def _write_torch(traced: _Traced, path: Path) -> None:
    with files.atomic_write(path) as beside:
        with _plain_words(traced.named), open(beside, "wb") as file:
            torch.export.save(traced.program, file, extra_files={HEAD: traced.head})
        with _plain_words(traced.named), open(beside, "rb") as file:
            read = torch.export.load(file).module()
        _same_scores(traced, read)


def _plain_bytes(proto: Any, head: str) -> bytes:
    """Without what differs from machine to machine (paths in stack traces, the build of torch), and with the head."""
    graph = proto.graph
    del graph.value_info[:], proto.metadata_props[:]
    for part in (graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    proto.producer_version = proto.producer_version.partition("+")[0]
    proto.metadata_props.add(key=HEAD, value=head)
    return bytes(proto.SerializeToString(deterministic=True))


def _same_scores(traced: _Traced, exported: nn.Module) -> None:
    """One photo, and several: neither number is that of the example."""
    for count in (1, 3):
        images = _noise(count, traced.side)
        with torch.inference_mode():
            ours, theirs = (network(images)[0].double().sigmoid() for network in (traced.network, exported))
        _within(float((ours - theirs).abs().max()), "photos of noise")


def _noise(count: int, side: int) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(0))


def _within(most: float, where: object) -> float:
    if not most <= TOLERANCE:
        raise SadclError(
            f"The exported model's scores differ by {most:.1e}, more than {TOLERANCE:g}",
            where=where,
            fix="Serve the weights by torch (register.runtime: torch)",
        )
    return most


@contextmanager
def _plain_words(named: str) -> Iterator[None]:
    """Silence, and what torch and ONNX raise (an operator that one lacks, a file beyond 2 GB) as a sentence."""
    try:
        with silence():
            yield
    except Exception as error:  # they have no common kind
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")[:300]
        raise SadclError(
            f"This network can't be exported: {reason}", where=named, fix="Use it by torch (register.runtime: torch)"
        ) from None


@contextmanager
def silence() -> Iterator[None]:
    """Torch and ONNX tell of their own deprecations and optimisations; nobody who exports could act on them."""
    kept = {name: logging.getLogger(name).level for name in NOISY}
    try:
        for name in NOISY:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in kept.items():
            logging.getLogger(name).setLevel(level)
