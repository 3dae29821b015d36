"""The JSON head of a weights file: reading and checks, without torch."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open

from sadcl import bounded_json, params
from sadcl.errors import SadclError

FORMAT, READABLE = 2, (1, 2)
"""Format of new files, and those that this version reads; format 1 lists the training photos one by one."""
FILE, ONNX = "weights.safetensors", ".onnx"
"""Name of a weights file, and suffix of the files that are exported from one."""
NEEDED = ("format", "stage", "classes", "model", "preprocessing")

# Bounds of files that somebody else wrote; each is many times what the largest published models need.
LARGEST_HEADER = 50_000_000
"""Bytes of names, shapes and head; 64 bits of four million training photos fit."""
MOST_TENSORS = 20_000
"""Tensors of a file; a ResNet-101 with SARL has 1,500, averaged ones included."""
MOST_VALUES = 3_000_000
"""Values in a head; each takes about 100 bytes of memory, and one was a training photo in earlier versions."""
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

Head = dict[str, Any]


def read_head(path: Path) -> Head:
    """Read the JSON head of a weights file, without its tensors.

    Raises:
        SadclError: the file is missing, damaged, foreign, or of another format.
    """
    with opened(path, "np") as (_, head):
        return head


@contextmanager
def opened(path: Path, framework: Literal["np", "pt"]) -> Iterator[tuple[Any, Head]]:
    """Open a weights file, and check its head before any tensor is read.

    Args:
        path: of the file.
        framework: whose tensors the file gives: numpy's or torch's.

    Yields:
        The open file and its head.

    Raises:
        SadclError: the file is missing, damaged, foreign, or of another format.
    """
    try:
        _check_header(path)
        with safe_open(path, framework=framework) as file:
            head = bounded_json.parse((file.metadata() or {}).get("sadcl", "null"), MOST_VALUES)
            check(path, head)
            yield file, head
    except FileNotFoundError:
        raise SadclError("The weights file is missing", where=path, fix="Run `dvc repro`, or check the path") from None
    # ValueError and RecursionError: a head that is no JSON, or is nested too deep
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise SadclError(
            f"The weights can't be read: {error}", where=path, fix="Create or fetch the file again"
        ) from None


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
    if head.get("format") not in READABLE:
        raise SadclError(
            f"The weights have format {head.get('format')}, but this sadcl reads {' and '.join(map(str, READABLE))}",
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
            and all(slope > 0 for slope in calibration["slope"])
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
            raise unbuildable(path, f"model.{name} is larger than {most:,}")


def new_head(stage: str, model: params.Model, classes: Sequence[str]) -> Head:
    """Keys that the heads of all stages share; the stage `calibrate` fits the thresholds later."""
    return {
        "stage": stage,
        "classes": list(classes),
        "model": model.model_dump(mode="json"),
        "preprocessing": {"side": model.for_test().side, "mean": list(model.mean), "std": list(model.std)},
        "thresholds": None,
    }


def model_settings(path: Path, head: Mapping[str, Any]) -> params.Model:
    """Settings of the network that a head describes.

    Raises:
        SadclError: this version has no such settings, or they contradict each other.
    """
    try:
        return params.Model.model_validate(head["model"])
    except ValidationError as error:
        first = error.errors()[0]
        raise unbuildable(path, f"{'.'.join(['model', *map(str, first['loc'])])}: {first['msg']}") from None


def unbuildable(path: Path, reason: str) -> SadclError:
    """The error for a head whose network can't be built."""
    return SadclError(
        f"The weights' head describes a network that this sadcl can't build: {reason}",
        where=path,
        fix="Use a matching version of sadcl",
    )
