"""Weights on disk: tensors and a JSON head in one safetensors file, never a pickle."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from sadcl import files, params
from sadcl.errors import SadclError
from sadcl.model.network import Network

FORMAT = 1
NEEDED = ("format", "stage", "classes", "model", "preprocessing")


def save(path: Path, tensors: Mapping[str, Tensor], head: Mapping[str, Any]) -> None:
    """Write tensors and their head: the same values give the same bytes.

    Raises:
        SadclError: a value is not a number.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise SadclError(f"The weights {name} are not finite", where=path, fix="Lower lr and train again")
    text = json.dumps({**head, "format": FORMAT}, sort_keys=True, ensure_ascii=False)
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with files.writing(path) as beside:
        beside.write_bytes(to_bytes(kept, metadata={"sadcl": text}))


def read_head(path: Path) -> dict[str, Any]:
    """What the file says of itself, without reading tensors.

    Raises:
        SadclError: missing, damaged, foreign, or of another format.
    """
    return _read(path, tensors=False)[1]


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and head.

    Raises:
        SadclError: missing, damaged, foreign, or of another format; values that are not finite.
    """
    tensors, head = _read(path, tensors=True)
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise SadclError(f"The weights {name} are not finite", where=path, fix="Use another file")
    return tensors, head


def network(path: Path, which: Literal["best", "ema", "raw"] = "best") -> tuple[Network, dict[str, Any]]:
    """The network for use (evaluation mode), and the head.

    Args:
        path: weights of either stage; projector and prototypes are not needed.
        which: averaged or raw weights, or the better of them on select.

    Raises:
        SadclError: as ``load``, or the tensors do not fit the network that the head describes.
    """
    tensors, head = load(path)
    chosen = head.get("best", "ema") if which == "best" else which
    prefix = f"{chosen}.network."
    built = Network(params.Model(**head["model"]), len(head["classes"]), start=False)
    try:
        built.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise SadclError(f"The weights do not fit their network: {first}", where=path, fix="Use another file") from None
    return built.eval(), head


def _read(path: Path, tensors: bool) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            head = json.loads((file.metadata() or {}).get("sadcl", "null"))
            found = {name: file.get_tensor(name) for name in file.keys()} if tensors else {}  # noqa: SIM118
    except FileNotFoundError:
        raise SadclError("There are no weights", where=path, fix="Run `dvc repro`, or check the path") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise SadclError(
            f"The weights can't be read: {error}", where=path, fix="Make or fetch the file again"
        ) from None
    if not isinstance(head, dict):
        raise SadclError("These weights are not sadcl's", where=path, fix="Use weights that sadcl wrote")
    if head.get("format") != FORMAT:
        raise SadclError(
            f"The weights have format {head.get('format')}, this sadcl reads {FORMAT}",
            where=path,
            fix="Use a matching sadcl",
        )
    missing = [name for name in NEEDED if name not in head]
    if missing:
        raise SadclError(f"The weights' head lacks {', '.join(missing)}", where=path, fix="Make the file again")
    return found, head
