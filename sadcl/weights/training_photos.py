"""Photos that a model was trained on, as the head of its weights file names them: 64 bits of each one's SHA-256.

They tell photos apart: among ten million, two share them with a probability of three in a million.
"""

import base64
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sadcl.errors import SadclError

KEY, EARLIER_KEY = "training_photos", "seen"
"""Key of a head, and that of earlier versions, which held a list of hexadecimal digits: twice as long, and slow to
read."""
_DIGITS = 16

Prefixes = NDArray[np.uint64]


def prefixes(digests: Iterable[str]) -> Prefixes:
    """First 64 bits of each SHA-256, in the order of the digests."""
    return np.array([int(digest[:_DIGITS], 16) for digest in digests], np.uint64)


def dump(*photos: Prefixes) -> str:
    """Text of the union of some photos, for a head; equal sets give equal texts."""
    return base64.b64encode(np.unique(np.concatenate(photos)).astype("<u8").tobytes()).decode()


def load(head: Mapping[str, Any], where: Path | None = None) -> Prefixes:
    """Photos that the head names; none where it has no such key.

    Args:
        head: of a weights file of this version or an earlier one.
        where: the file, for the error.

    Raises:
        SadclError: the value is damaged.
    """
    value = head.get(KEY, head.get(EARLIER_KEY)) or ""
    try:
        if isinstance(value, list):
            if any(len(digits) != _DIGITS for digits in value):
                raise ValueError
            return prefixes(value)
        return np.frombuffer(base64.b64decode(value, validate=True), "<u8").astype(np.uint64)
    except (TypeError, ValueError, OverflowError):
        message = "The weights' head has no usable list of the photos that the model was trained on"
        raise SadclError(message, where=where, fix="Create the file again") from None


def is_recorded(head: Mapping[str, Any]) -> bool:
    """Whether the head says which photos the model was trained on."""
    return KEY in head or EARLIER_KEY in head
