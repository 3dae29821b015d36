"""A checkpoint of the released code, SADCL's or Query2Label's: its tensors, under our names (method, section 2.6)."""

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from sadcl.errors import SadclError

NAMES = {
    r"backbone\.0\.body\.(.+)": r"network.backbone.body.\1",
    r"input_proj\.(weight|bias)": r"network.head.input_proj.\1",
    r"transformer\.encoder\.layers\.(\d+)\.self_attn\.(.+)": r"network.head.encoder.\1.attention.\2",
    r"transformer\.encoder\.layers\.(\d+)\.(norm[12]\..+)": r"network.head.encoder.\1.\2",
    r"transformer\.decoder\.layers\.(\d+)\.multihead_attn\.(.+)": r"network.head.decoder.\1.attention.\2",
    # theirs keep the numbers that they had beside a self-attention, whose norm was the first
    r"transformer\.decoder\.layers\.(\d+)\.norm2\.(.+)": r"network.head.decoder.\1.norm1.\2",
    r"transformer\.decoder\.layers\.(\d+)\.norm3\.(.+)": r"network.head.decoder.\1.norm2.\2",
    r"transformer\.(encoder|decoder)\.layers\.(\d+)\.(linear[12]\..+)": r"network.head.\1.\2.\3",
    r"transformer\.decoder\.norm\.(.+)": r"network.head.norm.\1",
    r"query_embed\.weight": "network.head.queries",
    r"fc\.W": "network.head.weight",
    r"fc\.b": "network.head.bias",
    r"proj_head\.layers\.0\.(.+)": r"projector.linear1.\1",
    r"proj_head\.layers\.1\.(.+)": r"projector.linear2.\1",
    r"prototype": "prototypes",
}
"""Their names, as patterns, to those of ``DualContrast``."""
DEEPER = ("fc.W", "fc.b", "prototype")
"""These have a first axis of length 1 that ours lack."""
FOREIGN = "Give a checkpoint of the released SADCL or Query2Label code"


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], int | None]:
    """A checkpoint's tensors under their names without ``module.``, and the epoch after which it was saved.

    Raises:
        SadclError: the file is missing or damaged, wants to run code, or holds no tensors by name.
    """
    try:
        found = load_file(path) if path.suffix == ".safetensors" else _torch_file(path)
    except FileNotFoundError:
        raise SadclError("There is no such checkpoint", where=path, fix="Check the path") from None
    except pickle.UnpicklingError as error:
        code = re.search(r"GLOBAL (\S+)", str(error))
        what = f"wants to run {code[1]} when it is read" if code else "can't be read: it is no torch file"
        raise SadclError(f"The checkpoint {what}", where=path, fix=FOREIGN) from None
    except Exception as error:
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise SadclError(f"The checkpoint can't be read: {reason}", where=path, fix="Fetch it again") from None
    held, epoch = (found.get("state_dict", found), found.get("epoch")) if isinstance(found, Mapping) else ({}, None)
    named = held.items() if isinstance(held, Mapping) else ()
    tensors = {k.removeprefix("module."): v for k, v in named if isinstance(k, str) and isinstance(v, Tensor)}
    if not tensors:
        raise SadclError("The checkpoint holds no tensors by name", where=path, fix=FOREIGN)
    return tensors, epoch if isinstance(epoch, int) else None


def rename(kept: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Released tensors under the names of ``DualContrast``, and the names that have no counterpart."""
    found: dict[str, Tensor] = {}
    left = []
    for name, tensor in kept.items():
        ours = next((re.sub(theirs, to, name) for theirs, to in NAMES.items() if re.fullmatch(theirs, name)), None)
        if ours is None:
            left.append(name)
        else:
            found[ours] = tensor.squeeze(0) if name in DEEPER else tensor
    return found, left


class _Ignored:
    """Stands for NumPy's numbers in a checkpoint (``best_mAP``): they are passed over, and no code of NumPy's runs."""

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, _: object) -> None: ...


def _torch_file(path: Path) -> Any:
    names = ("numpy.dtype", "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
    with torch.serialization.safe_globals([(_Ignored, name) for name in names]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a pickle's age: nobody who only reads it can do anything about that
        # mapped, the optimiser's state, twice the weights, stays on the disk
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
