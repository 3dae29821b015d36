"""JSON that somebody else wrote, read with bounds on its size and on the memory that it takes."""

import json
from pathlib import Path
from typing import Any

from sadcl import files

LARGEST = 20_000_000
"""Bytes of a file; a verdict on 5,000 classes has a tenth of that."""
MOST_VALUES = 1_000_000
"""Values in a file; each takes about 100 bytes of memory, whatever its length in the file."""


def read(path: str | Path, fix: str = "Find out who wrote it") -> Any:
    """Read a JSON file of at most ``LARGEST`` bytes and ``MOST_VALUES`` values.

    Args:
        path: the file.
        fix: what to do when it can't be read.

    Raises:
        SadclError: the file is missing, can't be read, is too large, or is not JSON.
    """
    with files.json_errors(path, fix), open(path, "rb") as file:
        content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise ValueError(f"it has more than {LARGEST / 1e6:.0f} MB")
        return parse(content.decode("utf-8"), MOST_VALUES)


def parse(text: str | bytes, most_values: int = MOST_VALUES) -> Any:
    """Parse JSON with a bound on the number of its values.

    Raises:
        ValueError: the text is not JSON, or has too many values.
        RecursionError: it is nested too deep.
    """
    decoded = text.decode("utf-8") if isinstance(text, bytes) else text
    # signs inside texts count too: an upper bound needs no parser
    if sum(map(decoded.count, ",[{")) > most_values:
        raise ValueError(f"it has more than {most_values:,} values")
    return json.loads(decoded)
