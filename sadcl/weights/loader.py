"""Loading of models: torch for weights files, onnxruntime for ONNX files, behind one interface."""

from pathlib import Path
from typing import Literal

from torch import nn

from sadcl.errors import SadclError
from sadcl.model.tagger import Tagger
from sadcl.weights import checkpoint
from sadcl.weights.checkpoint import Head
from sadcl.weights.onnx_network import CPU, SUFFIX, OnnxNetwork


def load_tagger(path: str | Path) -> Tagger:
    """Load a model from a weights file, an ONNX file, or a folder with ``weights.safetensors`` or ``weights.onnx``.

    Raises:
        SadclError: the file is missing, damaged or foreign, or onnxruntime is not installed.
    """
    file = Path(path)
    if file.is_dir():
        file = model_file(file)
    if file.suffix == ".pt2":
        raise SadclError(
            "A torch.export file is for other programs: torch may run code that it contains",
            where=file,
            fix="Use the .onnx or .safetensors file of this model, or torch.export.load where you trust the file",
        )
    if file.suffix != SUFFIX:
        return Tagger(*checkpoint.load_network(file))
    return Tagger(*load_network(file), CPU)


def model_file(folder: Path) -> Path:
    """Path of the model in a folder: its weights file, or the ONNX file where there is only that."""
    file = folder / checkpoint.FILE
    onnx = file.with_suffix(SUFFIX)
    return onnx if onnx.exists() and not file.exists() else file


def load_network(path: Path, which: Literal["best", "ema", "raw"] = "best") -> tuple[nn.Module, Head]:
    """Load a module that computes logits, and the JSON head.

    Args:
        path: weights of either stage, or an ONNX file.
        which: averaged, raw or the better weights; an ONNX file has the better ones only.

    Raises:
        SadclError: the file is missing, damaged or foreign, or onnxruntime is not installed.
    """
    if path.suffix != SUFFIX:
        return checkpoint.load_network(path, which)
    network = OnnxNetwork(path)
    return network, network.head


def read_head(path: Path) -> Head:
    """Read the JSON head of a weights file or an ONNX file.

    Raises:
        SadclError: the file is missing, damaged or foreign, or onnxruntime is not installed.
    """
    return OnnxNetwork(path, fast=False).head if path.suffix == SUFFIX else checkpoint.read_head(path)
