"""Export of trained models to files that need no sadcl: ONNX and torch.export.

The files contain the network for use alone (no projector, no memory) in float32, for batches of any size, and the
weights' JSON head: class names, preprocessing, and ``calibration`` and ``thresholds`` where these were fitted. A label
is predicted where sigmoid(slope * logit + bias) exceeds its threshold; without them slope is 1, bias 0 and the
threshold 0.5.
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

from sadcl import extras, files, layout, params
from sadcl.data.shards.batches import evaluation_batches
from sadcl.data.shards.index import INDEX
from sadcl.data.shards.reader import Shards
from sadcl.errors import SadclError
from sadcl.model import tagger
from sadcl.model.network import Network
from sadcl.model.tagger import Tagger
from sadcl.progress import track
from sadcl.weights import loader
from sadcl.weights.file_head import ONNX
from sadcl.weights.onnx_network import CPU, HEAD, OnnxNetwork

OPSET = 18
"""ONNX version of torch's exporter (any other needs a conversion), old enough for other runtimes."""
NAMES = (f"weights{ONNX}", "weights.pt2")
TOLERANCE = 1e-4
"""Largest difference allowed between a score and the original's."""
COMPARED = 1024
"""Most test photos on which ``report`` compares both; more take hours with a large network."""
NOISY = ("root", "onnxscript", "onnx_ir", "torch.onnx", "torch.export", "torch._dynamo")


def report(model: Tagger, folder: Path, test: Path = layout.TEST_SHARDS) -> Iterator[str]:
    """Export a model and compare it with the original on the project's test photos.

    Args:
        model: the original.
        folder: for the files.
        test: shards of test photos; where there are none with this model's classes, photos of noise are compared.

    Yields:
        Lines for the user: the largest difference of a score, then each file with its size.

    Raises:
        SadclError: the network can't be exported, a library is not installed, or the exported model scores differently;
            files of an earlier export stay as they are.
    """
    photos = Shards(test) if (test / INDEX).exists() else None
    if photos is not None and tuple(photos.classes) != model.classes:
        photos = None
    files.require_folder(folder)
    # both are compared before either gets its name
    with files.temporary_directory(folder / NAMES[0]) as temporary:
        written = [temporary / name for name in NAMES]
        for _ in track(_write(model, *written), "export", total=3, unit="steps"):
            pass
        most = None if photos is None else difference(model, loader.load_tagger(written[0]), photos, at_most=COMPARED)
        paths = [path.replace(folder / path.name) for path in written]
    if photos is None:
        yield "Compared on photos of noise only: there are no test photos with these classes"
    else:
        yield f"On {min(len(photos), COMPARED)} test photos no score of the ONNX file differs by more than {most:.1e}"
    yield from (f"{path} ({path.stat().st_size / 1e6:.1f} MB)" for path in paths)


def _write(model: Tagger, onnx: Path, torch_export: Path) -> Iterator[None]:
    """Trace the network and write both files; yields after each of the three steps."""
    traced = _trace(model)
    yield
    _write_onnx(traced, onnx)
    yield
    _write_torch(traced, torch_export)
    yield


def export_onnx(model: Tagger, path: Path) -> None:
    """Write the ONNX file alone; equal weights give equal bytes.

    Raises:
        SadclError: the network can't be exported, the exported one scores differently, or a library is not installed.
    """
    _write_onnx(_trace(model), path)


def difference(model: Tagger, exported: Tagger, test: Shards, at_most: int | None = None, batch: int = 32) -> float:
    """Compute the largest difference between two models' scores on prepared photos.

    Args:
        model: the original.
        exported: the exported model.
        test: shards of photos.
        at_most: compare on the first so many photos; by default on all.
        batch: photos at a time.

    Raises:
        SadclError: the difference exceeds ``TOLERANCE``.
    """
    most, settings = 0.0, params.Model(**model.head["model"]).for_test()
    count = -(-min(len(test), at_most or len(test)) // batch)
    batches = islice(evaluation_batches(test, settings, batch), count)
    for photos in track(batches, "test photos, original and exported", total=count, each=batch):
        original, converted = (
            torch.as_tensor(tagger.logits(m.network, [photos], m.device)).double().sigmoid() for m in (model, exported)
        )
        most = float(np.maximum(most, float((original - converted).abs().max())))  # a NaN stays NaN
    return _within(most, test.directory)


class _Plain(nn.Module):
    """The network with plain tensors as output: logits [B, C], and attention [B, C, h, w] where the head has it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        # a copy: the model in use keeps its device and precision
        self.network = copy.deepcopy(network).to(CPU, torch.float32).eval().requires_grad_(False)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        out = self.network(images, attention=True)
        return (out.logits,) if out.attention is None else (out.logits, out.attention)


@dataclass(frozen=True)
class _Traced:
    """A network in float32 on the CPU, and torch.export's program of it.

    Attributes:
        network: the original, on the CPU.
        program: of ``torch.export``.
        side: of the input, in pixels.
        head: the weights' head as JSON text.
        label: backbone and head of the network, for error messages.
    """

    network: _Plain
    program: Any
    side: int
    head: str
    label: str


def _trace(model: Tagger) -> _Traced:
    """Trace the network with a free batch axis.

    In strict mode: otherwise ``len(images)`` in a head becomes a constant, the batch size of the example.
    """
    for library in ("onnx", "onnxscript"):
        extras.load(library)
    if not isinstance(model.network, Network):
        raise SadclError("This model is an export already", fix="Export the weights file that it comes from")
    head = model.head
    side, label = int(head["preprocessing"]["side"]), f"{head['model'].get('backbone')}, {head['model'].get('head')}"
    plain, free = _Plain(model.network), {0: torch.export.Dim("batch", min=1)}
    with _translate_errors(label), torch.no_grad():
        # two photos: torch.export takes a size of 1 in the example for a constant
        program = torch.export.export(plain, (_noise(2, side),), dynamic_shapes=(free,), strict=True)
    for node in program.graph.nodes:  # paths of this machine, which would change the file's bytes
        node.meta.pop("stack_trace", None)
    return _Traced(plain, program, side, json.dumps(head, sort_keys=True, ensure_ascii=False), label)


def _write_onnx(traced: _Traced, path: Path) -> None:
    outputs = ["logits", "attention"][: len(traced.program.graph_signature.user_outputs)]
    with _translate_errors(traced.label):
        exported: Any = torch.onnx.export(
            traced.program, (), dynamo=True, opset_version=OPSET, input_names=["images"], output_names=outputs,
            verbose=False, external_data=False,
        )  # fmt: skip
        data = _canonical_bytes(exported.model_proto, traced.head)
    with files.atomic_write(path) as temporary_path:
        # checked before it gets its name: a file that scores differently never appears
        temporary_path.write_bytes(data)
        _check_scores(traced, OnnxNetwork(temporary_path))


def _write_torch(traced: _Traced, path: Path) -> None:
    with files.atomic_write(path) as temporary_path:
        with _translate_errors(traced.label), open(temporary_path, "wb") as file:
            torch.export.save(traced.program, file, extra_files={HEAD: traced.head})
        with _translate_errors(traced.label), open(temporary_path, "rb") as file:
            exported = torch.export.load(file).module()
        _check_scores(traced, exported)


def _canonical_bytes(proto: Any, head: str) -> bytes:
    """Serialise with the head, and without what differs between machines (paths in stack traces, torch's build)."""
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


def _check_scores(traced: _Traced, exported: nn.Module) -> None:
    """Compare scores of noise; batches of 1 and 3 differ from the traced example's, so a fixed batch size shows."""
    for count in (1, 3):
        images = _noise(count, traced.side)
        with torch.inference_mode():
            scores, converted = (network(images)[0].double().sigmoid() for network in (traced.network, exported))
        _within(float((scores - converted).abs().max()), "photos of noise")


def _noise(count: int, side: int) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(0))


def _within(most: float, where: object) -> float:
    # `not <=`, since a NaN must fail too
    if not most <= TOLERANCE:
        raise SadclError(
            f"The exported model's scores differ by {most:.1e}, more than {TOLERANCE:g}",
            where=where,
            fix="Serve the weights with torch (register.runtime: torch)",
        )
    return most


@contextmanager
def _translate_errors(label: str) -> Iterator[None]:
    """Silence torch and ONNX, and turn their errors (a missing operator, a file beyond 2 GB) into a ``SadclError``."""
    try:
        with silence():
            yield
    except Exception as error:  # torch and ONNX share no base class of errors
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")[:300]
        raise SadclError(
            f"This network can't be exported: {reason}",
            where=label,
            fix="Serve the weights with torch (register.runtime: torch)",
        ) from None


@contextmanager
def silence() -> Iterator[None]:
    """Silence torch and ONNX: users of an export can't act on deprecations and optimisations inside them."""
    levels = {name: logging.getLogger(name).level for name in NOISY}
    try:
        for name in NOISY:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
