"""Bounds of ONNX files that somebody else wrote: size, number of parts, operators, and where tensors are stored.

An ONNX file is a program. Only what `sadcl export` writes is taken: operators of the standard, without functions and
without graphs inside graphs, which could run for ever. What the operators compute is not bounded here.
"""

from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

from sadcl.errors import SadclError

LARGEST_FILE = 2**31 - 1
"""Bytes of a file; protobuf reads no larger message."""
MOST_PARTS = 500_000
"""Fields of a file's messages, each of which takes hundreds of bytes of memory and may take two of the file; the
largest networks of timm have a fifth of that. A tensor counts as one field if it is stored as raw data."""
MOST_NESTED = 16
"""Messages inside messages; a tensor of a node has a depth of four."""
DOMAINS = ("", "ai.onnx")
"""Names of the standard's operators; operators of other domains are libraries', which may do anything."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10


def check_size(path: Path) -> None:
    """Raise where a file is too large to be read."""
    size = path.stat().st_size
    if size > LARGEST_FILE:
        raise _refused(path, f"is larger than {LARGEST_FILE / 1e9:.1f} GB")


def check_parts(path: Path, data: bytes, root: Any) -> None:
    """Raise where a file's messages have too many fields, or are nested too deep; nothing is allocated for them.

    Args:
        path: the file, for the error.
        data: its content.
        root: descriptor of its message.

    Raises:
        SadclError: there are too many, or the file is no protobuf message.
    """
    try:
        parts = _parts(data, root)
    except (IndexError, ValueError):
        raise SadclError("The ONNX model is damaged: it is no message", where=path, fix="Export it again") from None
    if parts > MOST_PARTS:
        raise _refused(path, f"has more than {MOST_PARTS:,} parts")


def _parts(data: bytes, root: Any) -> int:
    """Number of fields in a message and the messages inside it; the count ends above ``MOST_PARTS``."""
    waiting, count = [(0, len(data), root, 0)], 0
    while waiting and count <= MOST_PARTS:
        position, end, descriptor, depth = waiting.pop()
        if depth > MOST_NESTED:
            raise ValueError("too deep")
        fields = descriptor.fields_by_number
        while position < end and count <= MOST_PARTS:
            key, position = _varint(data, position)
            kind, field, count = key & 7, fields.get(key >> 3), count + 1
            if kind == _VARINT:
                _, position = _varint(data, position)
            elif kind == _BYTES:
                length, position = _varint(data, position)
                if field is not None and field.message_type is not None:
                    waiting.append((position, position + length, field.message_type, depth + 1))
                elif field is not None and field.type not in (field.TYPE_BYTES, field.TYPE_STRING):
                    count += length  # packed numbers, one byte each or more
                position += length
            elif kind in (_FIXED64, _FIXED32):
                position += 8 if kind == _FIXED64 else 4
            else:
                raise ValueError("unknown kind of field")
        if position > end and count <= MOST_PARTS:
            raise ValueError("truncated")
    return count


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """A number of variable length, and the position after it."""
    value = 0
    for i in range(_LONGEST_VARINT):
        byte = data[position + i]
        value |= (byte & 127) << 7 * i
        if byte < 128:
            return value, position + i + 1
    raise ValueError("a number is too long")


def check_model(path: Path, model: Any) -> None:
    """Raise where a model has tensors in other files or of absurd shape, or operators that sadcl never exports.

    Raises:
        SadclError: the message names the first of them.
    """
    messages = list(_messages(model))
    for tensor in (message for name, message in messages if name == "TensorProto"):
        _check_tensor(path, tensor)
    names = {name for name, _ in messages}
    foreign = [part.domain for name, part in messages if name in ("NodeProto", "OperatorSetIdProto")]
    for domain in sorted({domain for domain in foreign if domain not in DOMAINS}):
        raise _refused(path, f"has operators of the domain {domain[:80]!r}")
    if sum(name == "GraphProto" for name, _ in messages) > 1:
        raise _refused(path, "has a graph inside its graph")
    for name in sorted(names & {"FunctionProto", "TrainingInfoProto", "SparseTensorProto"}):
        raise _refused(path, f"has a part of the kind {name.removesuffix('Proto')}")


def _check_tensor(path: Path, tensor: Any) -> None:
    """The author of a model chose which file a tensor's values lie in, and how many it says it has."""
    if tensor.data_location == tensor.EXTERNAL or tensor.external_data:
        raise SadclError(
            f"The tensor {tensor.name[:80]!r} of this ONNX model is stored in another file",
            where=path,
            fix="Export the model with its weights inside (`sadcl export` does)",
        )
    stored = tensor.ByteSize()
    # a byte holds two values of the smallest type
    if any(side < 0 for side in tensor.dims) or prod(tensor.dims) > 2 * stored:
        raise _refused(
            path, f"has a tensor {tensor.name[:80]!r} of {list(tensor.dims)[:8]}, but {stored:,} bytes for it"
        )


def _messages(message: Any) -> Iterator[tuple[str, Any]]:
    """Iterate over every message below a protobuf message, itself included, with the names of their types."""
    yield message.DESCRIPTOR.name, message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for child in [value] if hasattr(value, "ListFields") else value:
                yield from _messages(child)


def _refused(path: Path, problem: str) -> SadclError:
    return SadclError(f"The ONNX model {problem}", where=path, fix="Use a model that `sadcl export` wrote")
