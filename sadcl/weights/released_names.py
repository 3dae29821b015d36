"""Checkpoints of the released SADCL and Query2Label code: their tensors under sadcl's names (method, section 2.6)."""

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

from sadcl.errors import SadclError, first_line

NAMES = {
    r"backbone\.0\.body\.(.+)": r"network.backbone.body.\1",
    r"input_proj\.(weight|bias)": r"network.head.input_proj.\1",
    r"transformer\.encoder\.layers\.(\d+)\.self_attn\.(.+)": r"network.head.encoder.\1.attention.\2",
    r"transformer\.encoder\.layers\.(\d+)\.(norm[12]\..+)": r"network.head.encoder.\1.\2",
    r"transformer\.decoder\.layers\.(\d+)\.multihead_attn\.(.+)": r"network.head.decoder.\1.attention.\2",
    # the released decoder's norm1 belonged to its self-attention, which SADCL does without
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
"""Released names, as patterns, to those of ``DualContrast``."""
DEEPER = ("fc.W", "fc.b", "prototype")
"""Tensors with an additional first axis of length 1 in released checkpoints."""
FOREIGN = "Give a checkpoint of the released SADCL or Query2Label code"


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], int | None]:
    """Read a checkpoint's tensors, by name without ``module.``, and the epoch after which it was saved.

    Raises:
        SadclError: the file is missing or damaged, would run code, or contains no named tensors.
    """
    try:
        content = load_file(path) if path.suffix == ".safetensors" else _torch_file(path)
    except FileNotFoundError:
        raise SadclError("The checkpoint is missing", where=path, fix="Check the path") from None
    except pickle.UnpicklingError as error:
        code = re.search(r"GLOBAL (\S+)", str(error))
        problem = f"would run {code[1]} when it is read" if code else "can't be read: it is no torch file"
        raise SadclError(f"The checkpoint {problem}", where=path, fix=FOREIGN) from None
    except Exception as error:
        reason = first_line(error)
        raise SadclError(f"The checkpoint can't be read: {reason}", where=path, fix="Fetch it again") from None
    state, epoch = (
        (content.get("state_dict", content), content.get("epoch")) if isinstance(content, Mapping) else ({}, None)
    )
    named = state.items() if isinstance(state, Mapping) else ()
    tensors = {k.removeprefix("module."): v for k, v in named if isinstance(k, str) and isinstance(v, Tensor)}
    if not tensors:
        raise SadclError("The checkpoint contains no named tensors", where=path, fix=FOREIGN)
    return tensors, epoch if isinstance(epoch, int) else None


def rename(released: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Translate released tensors to the names of ``DualContrast``; also list names without a counterpart."""
    tensors: dict[str, Tensor] = {}
    unmatched = []
    for name, tensor in released.items():
        target = next((re.sub(pattern, to, name) for pattern, to in NAMES.items() if re.fullmatch(pattern, name)), None)
        if target is None:
            unmatched.append(name)
        else:
            tensors[target] = tensor.squeeze(0) if name in DEEPER else tensor
    return tensors, unmatched


class _Ignored:
    """Placeholder for NumPy's numbers in a checkpoint (``best_mAP``): it drops them, so that no code of NumPy runs."""

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, _: object) -> None: ...


def _torch_file(path: Path) -> Any:
    names = ("numpy.dtype", "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
    with torch.serialization.safe_globals([(_Ignored, name) for name in names]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the pickle's age, which its reader can't change
        # memory-mapped: the optimiser's state, twice the weights, stays on the disk
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
