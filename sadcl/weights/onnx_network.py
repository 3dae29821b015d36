"""ONNX files as networks: onnxruntime computes them on the CPU."""

import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sadcl import bounded_json, extras
from sadcl.errors import SadclError
from sadcl.model.heads import HeadOutput
from sadcl.weights import file_head, onnx_bounds
from sadcl.weights.file_head import Head

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
        self.path = path
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
        try:
            arrays = self.session.run(names, feed, options)
        except Exception as error:  # onnxruntime's exceptions share no base class
            raise _damaged(self.path, error) from None
        outputs = dict(zip(names, map(torch.from_numpy, arrays), strict=True))
        return HeadOutput(outputs["logits"], attention=outputs.get("attention"))


def _session(path: Path, fast: bool) -> Any:
    """Open an onnxruntime session for a file that contains all of its tensors."""
    onnxruntime = extras.load("onnxruntime")
    try:
        onnx_bounds.check_size(path)
        data = path.read_bytes()
    except FileNotFoundError:
        raise SadclError("The model file is missing", where=path, fix="Run `sadcl export`, or check the path") from None
    except OSError as error:
        raise SadclError(f"The model file can't be read: {error.strerror}", where=path, fix="Check the path") from None
    # from these bytes on: a file that is read twice could be exchanged in between
    _check(path, data)
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


def _check(path: Path, data: bytes) -> None:
    """Raise where a model has parts that `sadcl` never exports: its author may want to harm whoever opens it."""
    onnx = extras.load("onnx")
    model = onnx.ModelProto()
    onnx_bounds.check_parts(path, data, model.DESCRIPTOR)
    try:
        model.ParseFromString(data)
    except Exception as error:  # protobuf's implementations raise different exceptions
        raise _damaged(path, error) from None
    onnx_bounds.check_model(path, model)


def _damaged(path: Path, error: Exception) -> SadclError:
    reason = " ".join(str(error).split())[:200]
    return SadclError(f"The ONNX model is damaged: {reason}", where=path, fix="Export it again")


def _head(path: Path, session: Any) -> Head:
    try:
        text = session.get_modelmeta().custom_metadata_map.get(HEAD, "null")
        head = bounded_json.parse(text, file_head.MOST_VALUES)
    except (ValueError, RecursionError):
        head = None
    file_head.check(path, head)
    side, classes = int(head["preprocessing"]["side"]), len(head["classes"])
    shapes = {value.name: value.shape[1:] for value in (*session.get_inputs(), *session.get_outputs())}
    # the head is plain text in the file, and may come from another model
    if shapes.get("images") != [3, side, side] or shapes.get("logits") != [classes]:
        raise SadclError(
            f"The ONNX model's shapes differ from those in its head: {shapes}", where=path, fix="Export it again"
        )
    return head  # type: ignore[no-any-return]
