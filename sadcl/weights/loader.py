"""Loading of models: torch for weights files, onnxruntime for ONNX files, behind one interface.

Both are imported when a network is loaded: heads of weights files are read without them.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sadcl.errors import SadclError
from sadcl.weights import file_head
from sadcl.weights.file_head import ONNX, Head

if TYPE_CHECKING:
    from torch import nn

    from sadcl.model.tagger import Tagger


def load_tagger(path: str | Path) -> "Tagger":
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
    import torch

    from sadcl.model.tagger import Tagger

    # onnxruntime computes on the CPU here, whatever SADCL_DEVICE says
    return Tagger(*load_network(file), torch.device("cpu") if file.suffix == ONNX else None)


def model_file(folder: Path) -> Path:
    """Path of the model in a folder: its weights file, or the ONNX file where there is only that."""
    file = folder / file_head.FILE
    onnx = file.with_suffix(ONNX)
    return onnx if onnx.exists() and not file.exists() else file


def load_network(path: Path, which: Literal["best", "ema", "raw"] = "best") -> "tuple[nn.Module, Head]":
    """Load a module that computes logits, and the JSON head.

    Args:
        path: weights of either stage, or an ONNX file.
        which: averaged, raw or the better weights; an ONNX file has the better ones only.

    Raises:
        SadclError: the file is missing, damaged or foreign, or onnxruntime is not installed.
    """
    if path.suffix != ONNX:
        from sadcl.weights import checkpoint

        return checkpoint.load_network(path, which)
    from sadcl.weights.onnx_network import OnnxNetwork

    network = OnnxNetwork(path)
    return network, network.head


def read_head(path: Path) -> Head:
    """Read the JSON head of a weights file or an ONNX file.

    Raises:
        SadclError: the file is missing, damaged or foreign, or onnxruntime is not installed.
    """
    if path.suffix != ONNX:
        return file_head.read_head(path)
    from sadcl.weights.onnx_network import OnnxNetwork

    # not optimised: for a look at the head the moment that it takes is lost
    return OnnxNetwork(path, fast=False).head
