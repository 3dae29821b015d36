"""What computes a model: torch, or onnxruntime where the file is an ONNX one. Both give the same interface."""

from pathlib import Path
from typing import Literal

from torch import nn

from sadcl.errors import SadclError
from sadcl.model.tagger import Tagger
from sadcl.weights import checkpoint
from sadcl.weights.checkpoint import Head
from sadcl.weights.onnx_network import CPU, SUFFIX, OnnxNetwork


def load_tagger(path: str | Path) -> Tagger:
    """A model from a weights file, an ONNX file, or a folder that holds ``weights.safetensors`` or ``weights.onnx``.

    Raises:
        SadclError: there is none, it is damaged or foreign, or onnxruntime is not installed.
    """
    file = Path(path)
    if file.is_dir():
        file = in_folder(file)
    if file.suffix == ".pt2":
        raise SadclError(
            "A torch.export file is for other programs: torch may unpickle what is in it",
            where=file,
            fix="Use the .onnx or .safetensors file of this model, or torch.export.load where you trust the file",
        )
    if file.suffix != SUFFIX:
        return Tagger(*checkpoint.load_network(file))
    return Tagger(*load_network(file), CPU)


def in_folder(folder: Path) -> Path:
    """The model's file in a folder: its weights, or else the ONNX file of them."""
    file = folder / checkpoint.FILE
    made = file.with_suffix(SUFFIX)
    return made if made.exists() and not file.exists() else file


def load_network(path: Path, which: Literal["best", "ema", "raw"] = "best") -> tuple[nn.Module, Head]:
    """What computes logits, and the head.

    Args:
        path: weights of either stage, or an ONNX file.
        which: of the weights; an ONNX file has the better ones only.

    Raises:
        SadclError: as ``load_tagger``.
    """
    if path.suffix != SUFFIX:
        return checkpoint.load_network(path, which)
    made = OnnxNetwork(path)
    return made, made.head


def read_head(path: Path) -> Head:
    """What a weights file or an ONNX file says of itself.

    Raises:
        SadclError: as ``load_tagger``.
    """
    return OnnxNetwork(path, fast=False).head if path.suffix == SUFFIX else checkpoint.read_head(path)
