"""Weights files: tensors and a JSON head in one safetensors file, never a pickle."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save as to_bytes
from torch import Tensor

from sadcl import files
from sadcl.errors import SadclError, first_line
from sadcl.model.network import Network
from sadcl.model.shapes import shapes_only
from sadcl.weights import file_head
from sadcl.weights.file_head import Head

NUMBERS = (
    torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.bool, torch.uint8, torch.int8, torch.int16,
    torch.int32, torch.int64,
)  # fmt: skip
"""Types of tensors; safetensors has others, with which torch can't compute."""


def save(path: Path, tensors: Mapping[str, Tensor], head: Mapping[str, Any]) -> None:
    """Write tensors and a JSON head; equal values give equal bytes.

    Args:
        path: of the safetensors file.
        tensors: by name, on any device.
        head: anything that JSON can hold; ``format`` is added.

    Raises:
        SadclError: a value is not finite, or the disk is full.
    """
    # before the file: it would replace good weights
    _finite(path, tensors, fix="Lower lr and train again")
    # sorted, so that equal heads give equal bytes
    text = json.dumps({**head, "format": file_head.FORMAT}, sort_keys=True, ensure_ascii=False)
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with files.atomic_write(path) as temporary_path:
        temporary_path.write_bytes(to_bytes(stored, metadata={"sadcl": text}))


def load_tensors(path: Path) -> tuple[dict[str, Tensor], Head]:
    """Read all tensors and the JSON head of a weights file.

    Raises:
        SadclError: the file is missing, damaged, foreign, or of another format; or a value is not finite.
    """
    return _read(path, lambda head, name: True)


def load_network(path: Path, which: Literal["best", "ema", "raw"] = "best") -> tuple[Network, Head]:
    """Load the network in evaluation mode, and the JSON head.

    Args:
        path: weights of either stage; only the tensors of the chosen network are read.
        which: averaged (``ema``) or raw weights, or those with the better mAP on select.

    Raises:
        SadclError: the file is missing, damaged, foreign, or of another format; a value is not finite; or the tensors
            do not fit the network that the head describes.
    """

    def prefix(head: Head) -> str:
        return f"{head.get('best', 'ema') if which == 'best' else which}.network."

    tensors, head = _read(path, lambda head, name: name.startswith(prefix(head)))
    state = {name.removeprefix(prefix(head)): tensor for name, tensor in tensors.items()}
    # first without memory: the head may describe a network that is larger than the file
    with shapes_only():
        described = _build(path, head)
    # torch's own message would list every tensor
    _check_fit(path, state, described.state_dict())
    # some networks compute tables from their side that no file holds
    tables = sum(buffer.numel() * buffer.element_size() for buffer in described.buffers())
    if tables > file_head.LARGEST_TABLES + 4 * path.stat().st_size:
        raise file_head.unbuildable(path, f"its tables take {tables / 1e9:,.0f} GB")
    network = _build(path, head)
    network.load_state_dict(state)
    return network.eval(), head


def write_served(source: Path, path: Path, additions: Mapping[str, Any]) -> None:
    """Write the network for use alone: the better weights, without projector, prototypes and the other weights.

    Args:
        source: weights of either stage.
        path: of the new weights file.
        additions: keys that the head gets besides the source's own, such as calibration and thresholds.

    Raises:
        SadclError: the source is missing, damaged, foreign, or of another format; or a value is not finite.
    """
    tensors, head = _read(source, lambda head, name: name.startswith(f"{head.get('best', 'ema')}.network."))
    save(path, tensors, {**head, **additions})


def _read(path: Path, select: Callable[[Head, str], bool]) -> tuple[dict[str, Tensor], Head]:
    """Read and check the tensors that ``select`` takes by head and name, and the head."""
    with file_head.opened(path, "pt") as (file, head):
        # the head decides by name what is read; the other tensors stay on the disk
        tensors = {name: file.get_tensor(name) for name in file.keys() if select(head, name)}  # noqa: SIM118
    _finite(path, tensors, fix="Use another file")
    return tensors, head


def _build(path: Path, head: Head) -> Network:
    """Build the network that the head describes, with random values."""
    settings = file_head.model_settings(path, head)
    try:
        return Network(settings, len(head["classes"]), start=False)
    except SadclError as error:
        reason = error.what
    except (RuntimeError, ValueError) as error:  # sizes that exceed the memory or contradict each other
        reason = first_line(error)
    raise file_head.unbuildable(path, reason)


def _check_fit(path: Path, tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Raise where names or shapes differ from the network's; the message names the first difference."""
    differ = {
        **dict.fromkeys(expected.keys() - tensors.keys(), "is missing"),
        **dict.fromkeys(tensors.keys() - expected.keys(), "is unexpected"),
        **{
            name: f"is {list(tensors[name].shape)}, not {list(expected[name].shape)}"
            for name in expected.keys() & tensors.keys()
            if tensors[name].shape != expected[name].shape
        },
    }
    if differ:
        first = min(differ)
        more = f" (and {len(differ) - 1} more)" if len(differ) > 1 else ""
        raise SadclError(
            f"The weights do not fit the network that their head describes: {first} {differ[first]}{more}",
            where=path,
            fix="Use another file",
        )


def _finite(path: Path, tensors: Mapping[str, Tensor], fix: str) -> None:
    for name, tensor in tensors.items():
        if tensor.dtype not in NUMBERS:
            raise SadclError(f"The weights {name} are of type {tensor.dtype}", where=path, fix=fix)
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise SadclError(f"The weights {name} are not finite", where=path, fix=fix)
