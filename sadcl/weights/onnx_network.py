"""ONNX files as networks: onnxruntime computes them on the CPU."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sadcl import extras
from sadcl.errors import SadclError
from sadcl.model.heads import HeadOutput
from sadcl.weights import checkpoint
from sadcl.weights.checkpoint import Head

SUFFIX = ".onnx"
HEAD = "sadcl"
"""Name of the JSON head among an ONNX file's own metadata."""
CPU = torch.device("cpu")


class OnnxNetwork(nn.Module):
    """An ONNX file with the interface of ``Network``, computed by onnxruntime; it has no parameters to train.

    Attributes:
        head: JSON head of the file.

    Args:
        path: the ONNX file.
        fast: let onnxruntime optimise the graph first, which takes a moment.

    Raises:
        SadclError: the file is missing, damaged or foreign, or onnxruntime is not installed.
    """

    def __init__(self, path: Path, fast: bool = True) -> None:
        super().__init__()
        self.session = _session(path, fast)
        self.head = _head(path, self.session)
        self.outputs = [value.name for value in self.session.get_outputs()]

    def forward(self, images: Tensor, attention: bool = False) -> HeadOutput:
        """[B, 3, S, S] to logits [B, C] and, on request, attention [B, C, h, w] where the head has it."""
        from onnxruntime import RunOptions

        options = RunOptions()
        options.log_severity_level = 4
        options.only_execute_path_to_fetches = True  # attention weights cost time, and few callers need them
        names = [name for name in self.outputs if attention or name == "logits"]
        feed = {"images": images.detach().to(CPU, torch.float32).contiguous().numpy()}
        arrays = self.session.run(names, feed, options)
        outputs = dict(zip(names, map(torch.from_numpy, arrays), strict=True))
        return HeadOutput(outputs["logits"], attention=outputs.get("attention"))


def _session(path: Path, fast: bool) -> Any:
    """Open an onnxruntime session for a file that contains all of its tensors."""
    onnxruntime = extras.load("onnxruntime")
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise SadclError("The model file is missing", where=path, fix="Run `sadcl export`, or check the path") from None
    _refuse_external_tensors(path, data)
    with tempfile.TemporaryDirectory() as empty:
        try:
            return onnxruntime.InferenceSession(
                data, session_options(Path(empty), fast), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's exceptions share no base class
            raise _damaged(path, error) from None


def session_options(external_data: Path, fast: bool = True) -> Any:
    """Options of an onnxruntime session: torch's number of threads, no busy waiting, no output, repeatable results.

    Args:
        external_data: an empty folder. onnxruntime resolves external tensors of a model that comes as bytes below it;
            by default it takes the working directory, with the project's credentials.
        fast: let onnxruntime optimise the graph first.
    """
    onnxruntime = extras.load("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.use_deterministic_compute = True
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(external_data))
    # otherwise bytes in onnxruntime's own format are read as such, and evade the check of tensors
    options.add_session_config_entry("session.load_model_format", "ONNX")
    if not fast:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return options


def _refuse_external_tensors(path: Path, data: bytes) -> None:
    """Raise where a tensor's values lie in another file: the author of the model chose which file is read."""
    onnx = extras.load("onnx")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except Exception as error:  # protobuf's implementations raise different exceptions
        raise _damaged(path, error) from None
    for tensor in _tensors(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise SadclError(
                f"The tensor {tensor.name[:80]!r} of this ONNX model is stored in another file",
                where=path,
                fix="Export the model with its weights inside (`sadcl export` does)",
            )


def _tensors(message: Any) -> Iterator[Any]:
    """Iterate over every TensorProto below a protobuf message: in graphs, subgraphs, functions and attributes."""
    if message.DESCRIPTOR.name == "TensorProto":
        yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for child in [value] if hasattr(value, "ListFields") else value:
                yield from _tensors(child)


def _damaged(path: Path, error: Exception) -> SadclError:
    reason = " ".join(str(error).split())[:200]
    return SadclError(f"The ONNX model is damaged: {reason}", where=path, fix="Export it again")


def _head(path: Path, session: Any) -> Head:
    try:
        head = json.loads(session.get_modelmeta().custom_metadata_map.get(HEAD, "null"))
    except (ValueError, RecursionError):
        head = None
    checkpoint.check(path, head)
    side, classes = int(head["preprocessing"]["side"]), len(head["classes"])
    shapes = {value.name: value.shape[1:] for value in (*session.get_inputs(), *session.get_outputs())}
    if shapes.get("images") != [3, side, side] or shapes.get("logits") != [classes]:
        raise SadclError(
            f"The ONNX model's shapes differ from those in its head: {shapes}", where=path, fix="Export it again"
        )
    return head  # type: ignore[no-any-return]
