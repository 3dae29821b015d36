"""Labels as vectors of flags or scores, whose numbers readers would take for names of classes."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sadcl.data.sources import csv_table, json_table, long_table
from sadcl.data.sources.columns import names_photo
from sadcl.data.sources.json_table import LABELS, TAGS
from sadcl.data.sources.text import read_lines, short_repr
from sadcl.errors import SadclError

BOX = 5
"""Least number of cells that may be a label and the corners of its box, as fractions."""
_FIX = "Give one column per class, or the names of each photo's labels"
_CELL = re.compile(r"(?P<open>[\[({])?(?P<inner>[-+.\de\s,;|]*)[\])}]*")
_SPELLED = re.compile(r"true|false|array\(|['\"]")
_STATES = {"true": "1", "false": "0"}


def refuse_vectors(cells: Iterable[Any], where: object) -> None:
    """Refuse labels that have one number from 0 to 1, or -1, for each class in every cell.

    Args:
        cells: of the labels, as text or lists; blank ones say nothing.
        where: they are, for the error.

    Raises:
        SadclError: there are several cells, and all are such vectors of one length above 1.
    """
    lengths: list[int] = []
    example: Any = None
    for cell in cells:
        if cell is None or cell in ("", []):
            continue
        example = cell if example is None else example
        lengths.append(_length(cell))
        if lengths[-1] < 2 or lengths[-1] != lengths[0]:
            return
    if len(lengths) > 1:
        problem = f"Labels are vectors of {lengths[0]} numbers without names of classes, such as {short_repr(example)}"
        raise SadclError(problem, where=where, fix=_FIX)


def json_cells(path: Path) -> Iterator[Any]:
    """Labels of each record of a JSON file, or of JSON lines, that was read without an error."""
    for record in _records(path):
        yield next((record[key] for key in (*LABELS, *TAGS) if key in record), None)


def automl_cells(path: Path) -> Iterator[list[str]]:
    """Labels of each row of a file without a header; none of other files."""
    rows = (row for _, row in csv_table.raw_rows(path) if any(row))
    for i, row in enumerate(rows):
        if i == 0 and not long_table.without_header(row):
            return
        cells = row[1:] if names_photo(row[0]) else row[2:]
        yield cells[:1] if len(cells) >= BOX and any("." in cell for cell in cells) else cells


def _records(path: Path) -> Iterator[dict[str, Any]]:
    if path.suffix.lower() == ".json":
        yield from (record for _, record in json_table.records(path))
    else:
        yield from (json.loads(line) for _, line in read_lines(path, _FIX))


def _length(cell: Any) -> int:
    """Number of flags or scores in a cell; 0 if it has anything else."""
    items = cell
    if isinstance(cell, str):
        match = _CELL.fullmatch(_SPELLED.sub(lambda word: _STATES.get(word[0], ""), cell.strip().lower()))
        items = re.split(r"[\s,;|]+", match["inner"].strip()) if match else []
        if match and not match["open"] and len(items) < 3:  # "1,0" may be a decimal, "0;1" two names
            return 0
    return len(items) if isinstance(items, list) and all(map(_is_state, items)) else 0


def _is_state(item: Any) -> bool:
    try:
        number = float(item)
    except (TypeError, ValueError, OverflowError):
        return False
    return 0 <= number <= 1 or number == -1
