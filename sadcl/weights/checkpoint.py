"""Weights files: tensors and a JSON head in one safetensors file, never a pickle."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from sadcl import bounded_json, files, params
from sadcl.errors import SadclError, first_line
from sadcl.model.network import Network
from sadcl.model.shapes import shapes_only

FORMAT = 1
FILE = "weights.safetensors"
NEEDED = ("format", "stage", "classes", "model", "preprocessing")

# Bounds of files that somebody else wrote; each is many times what the largest published models need.
LARGEST_HEADER = 50_000_000
"""Bytes of names, shapes and head; the digests of two million training photos fit."""
MOST_TENSORS = 20_000
"""Tensors of a file; a ResNet-101 with SARL has 1,500, averaged ones included."""
MOST_VALUES = 3_000_000
"""Values in a head; each takes about 100 bytes of memory, and one is a training photo."""
LARGEST_TABLES = 1_000_000_000
"""Bytes of a network's tables that are computed when it is built, such as indices of relative positions."""
MOST_CLASSES = 100_000
LARGEST = {
    "width": 16_384, "heads": 1_024, "feedforward": 65_536, "embedding": 16_384, "groups": 100_000,
    "encoder_layers": 64, "decoder_layers": 64, "side": 4_096, "test_side": 4_096,
}  # fmt: skip
"""Sizes of a network: its layers are built before they are compared with the tensors, and its side decides on the
memory of a prediction."""
FLOAT32 = 3.4e38
"""Largest number of a head; predictions are computed in float32."""
NUMBERS = (
    torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.bool, torch.uint8, torch.int8, torch.int16,
    torch.int32, torch.int64,
)  # fmt: skip
"""Types of tensors; safetensors has others, with which torch can't compute."""

Head = dict[str, Any]


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
    text = json.dumps({**head, "format": FORMAT}, sort_keys=True, ensure_ascii=False)
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with files.atomic_write(path) as temporary_path:
        temporary_path.write_bytes(to_bytes(stored, metadata={"sadcl": text}))


def read_head(path: Path) -> Head:
    """Read the JSON head of a weights file, without its tensors.

    Raises:
        SadclError: the file is missing, damaged, foreign, or of another format.
    """
    return _read(path, lambda head, name: False)[1]


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
    if tables > LARGEST_TABLES + 4 * path.stat().st_size:
        raise _unbuildable(path, f"its tables take {tables / 1e9:,.0f} GB")
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
    try:
        _check_header(path)
        with safe_open(path, framework="pt") as file:
            head = bounded_json.parse((file.metadata() or {}).get("sadcl", "null"), MOST_VALUES)
            check(path, head)
            # after the check of the head, which decides by name what is read; the other tensors stay on the disk
            tensors = {name: file.get_tensor(name) for name in file.keys() if select(head, name)}  # noqa: SIM118
    except FileNotFoundError:
        raise SadclError("The weights file is missing", where=path, fix="Run `dvc repro`, or check the path") from None
    # ValueError and RecursionError: a head that is no JSON, or is nested too deep
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise SadclError(
            f"The weights can't be read: {error}", where=path, fix="Create or fetch the file again"
        ) from None
    _finite(path, tensors, fix="Use another file")
    return tensors, head


def _check_header(path: Path) -> None:
    """Raise where the header is too long or announces too many tensors; safetensors compares sizes with the file's."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > size:  # another kind of file: safetensors says so
            return
        header = file.read(length) if length <= LARGEST_HEADER else b""
    # a brace begins each tensor, and few others stand in a head
    if length > LARGEST_HEADER or header.count(b"{") > MOST_TENSORS:
        raise SadclError(
            f"The weights' header is larger than {LARGEST_HEADER / 1e6:.0f} MB or {MOST_TENSORS:,} tensors",
            where=path,
            fix="Use another file",
        )


def check(path: Path, head: Any) -> None:
    """Check that a head has all keys that prediction needs, with usable values.

    Raises:
        SadclError: the head is foreign, of another format, or incomplete.
    """
    if not isinstance(head, dict):
        raise SadclError("sadcl did not write these weights", where=path, fix="Use weights that sadcl wrote")
    if head.get("format") != FORMAT:
        raise SadclError(
            f"The weights have format {head.get('format')}, but this sadcl reads format {FORMAT}",
            where=path,
            fix="Use a matching version of sadcl",
        )
    missing = [name for name in NEEDED if name not in head]
    if missing:
        raise SadclError(f"The weights' head lacks {', '.join(missing)}", where=path, fix="Create the file again")
    classes, thresholds, shape = (head.get(name) for name in ("classes", "thresholds", "preprocessing"))
    calibration = head.get("calibration")
    count = len(classes) if isinstance(classes, list) else 0
    usable = {
        "classes": _texts(classes) and count <= MOST_CLASSES,
        "thresholds": thresholds is None
        or (_numbers(thresholds, count) and all(0 <= value <= 1 for value in thresholds)),
        "calibration": calibration is None
        or (
            isinstance(calibration, dict)
            and all(_numbers(calibration.get(name), count) for name in ("slope", "bias"))
            # a slope of 0 or less would change the order of photos, and with it AP
            and min(calibration["slope"]) > 0
        ),
        "preprocessing": isinstance(shape, dict)
        and _numbers([shape.get("side")], 1)
        and 1 <= shape["side"] <= LARGEST["side"]
        and all(_numbers(shape.get(name), 3) for name in ("mean", "std"))
        and 0 not in shape["std"],
    }
    for name in (name for name, is_usable in usable.items() if not is_usable):
        raise SadclError(
            f"The weights' head has no usable {name}: {head.get(name)!r:.80}", where=path, fix="Create the file again"
        )
    _check_sizes(path, head["model"])


def _texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value)


def _numbers(value: Any, count: int) -> bool:
    return (
        isinstance(value, list)
        and len(value) == count
        and all(isinstance(item, int | float) and abs(item) <= FLOAT32 for item in value)
    )


def _check_sizes(path: Path, model: Any) -> None:
    """Raise where a size of the network exceeds its bound; what is no number is refused when the network is built."""
    for name, most in LARGEST.items():
        value = model.get(name) if isinstance(model, dict) else None
        if isinstance(value, int | float) and not value <= most:
            raise _unbuildable(path, f"model.{name} is larger than {most:,}")


def _build(path: Path, head: Head) -> Network:
    """Build the network that the head describes, with random values."""
    try:
        return Network(params.Model.model_validate(head["model"]), len(head["classes"]), start=False)
    except ValidationError as error:
        first = error.errors()[0]
        reason = f"{'.'.join(['model', *map(str, first['loc'])])}: {first['msg']}"
    except SadclError as error:
        reason = error.what
    except (RuntimeError, ValueError) as error:  # sizes that exceed the memory or contradict each other
        reason = first_line(error)
    raise _unbuildable(path, reason)


def _unbuildable(path: Path, reason: str) -> SadclError:
    return SadclError(
        f"The weights' head describes a network that this sadcl can't build: {reason}",
        where=path,
        fix="Use a matching version of sadcl",
    )


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
