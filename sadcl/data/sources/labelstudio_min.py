"""A Label Studio export as JSON-MIN or CSV (also TSV): one flat record per annotation.

The value of a control is a choice (``cup``), several (``{"choices": ["cup", "plate"]}``), or a list of labelled shapes;
in CSV the latter two are JSON in a cell. Columns with such values are labels, and so are those with a usual name
(``choice``, ``label``, ``tag``, ...), or the only one that is neither the photo nor about the annotation. Further
columns are slice columns, but for ``split``. Records of several annotators count as in ``labelstudio``; those without
an ``annotation_id`` are dropped: nobody has looked at their photos.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from sadcl import files, params
from sadcl.data.sources import Source, csv_table
from sadcl.data.sources.json_head import first_object, read_head
from sadcl.data.sources.labelstudio import agreed, check_controls, label_kinds, labels_of_value, photo_key, task_photo
from sadcl.data.sources.rows import (
    Row,
    annotation_files,
    build_source,
    label_names,
    row_split,
    scalar_text,
    validation_as_test,
)
from sadcl.data.sources.text import is_valid_text, short_repr
from sadcl.data.table import SCHEMA
from sadcl.errors import SadclError

ABOUT = frozenset(
    ("id", "annotation_id", "annotator", "annotators", "created_at", "updated_at", "lead_time", "agreement",
     "completed_by", "sentinel", "history", "project", "comment_count", "total_annotations", "inner_id")
)  # fmt: skip
"""Keys that Label Studio adds to each record."""
USUAL = frozenset(
    name + ending for name in ("choice", "label", "tag", "class", "category", "taxonomy") for ending in ("", "s")
)
"""Usual names of controls."""
_JSON = re.compile(r'(\{\s*["}]|\[\s*["{\[\]])')
"""Beginning of a cell with a JSON object, or a list of texts, objects or lists."""
_FIX = "Export it again as JSON"

Record = tuple[str, dict[str, Any]]
"""Position of a record, and its fields; cells with JSON are parsed."""


def read_source(root: Path, settings: params.Ingest) -> Source:
    """Read the exports that the settings name.

    Raises:
        SadclError: a file is missing or damaged, or its columns of labels can't be told from others.
    """
    rows: list[Row] = []
    controls: dict[str, Any] = {}
    slices: set[str] = set()
    for split, path, folder in annotation_files(root, settings):
        records = list(_records(path))
        names, others = _columns(records, path)
        slices |= others
        photos: dict[str, list[frozenset[str]]] = {}
        described: dict[str, tuple[str, dict[str, str]]] = {}
        for where, record in records:
            photo = task_photo(root, folder, record, where)
            labels = (_labels(record.get(name), name, controls, where) for name in names)
            photos.setdefault(photo, []).append(frozenset().union(*labels))
            cells = {key: cell for key in others if (cell := scalar_text(record.get(key))) and is_valid_text(cell)}
            part, known = row_split(record.get("split"), split, where), described.get(photo, ("", {}))[0]
            if part and known and part != known:
                raise SadclError(
                    f"The photo {short_repr(photo)} is in two splits", where=where, fix="Correct the record"
                )
            described[photo] = part or known, cells
        for photo, sets in photos.items():
            part, cells = described[photo]
            rows.append(replace(agreed(photo, part, sets), slices=cells))
    source = build_source(validation_as_test(rows, settings), root / settings.files("train")[0])
    notes = [f"Columns that are no labels: {', '.join(sorted(slices))}"] if slices else []
    return replace(source, notes=notes)


def recognises(path: Path) -> bool:
    """Whether records have keys that Label Studio adds."""
    if path.suffix.lower() == ".json":
        value = read_head(path)
        record = first_object(value) if isinstance(value, list) else {}
        keys = set(record) if "result" not in first_object(record.get("annotations")) else set()
    else:
        try:
            keys = set(csv_table.open_rows(path)[0])
        except SadclError:
            return False
    return bool(keys & {"annotation_id", "annotator"}) and len(keys & ABOUT) > 1


def _records(path: Path) -> Iterator[Record]:
    """Records of annotations in a file, without those of tasks that have none."""
    if path.suffix.lower() == ".json":
        value = files.read_json(path, fix=_FIX)
        if not isinstance(value, list) or not all(isinstance(record, dict) for record in value):
            raise SadclError("The file is not a list of records", where=path, fix=_FIX)
        records: Iterable[Record] = ((f"{path}, record {i}", record) for i, record in enumerate(value, start=1))
    else:
        records = ((where, _parsed(record, where)) for where, record in csv_table.open_rows(path)[1])
    yield from ((where, record) for where, record in records if record.get("annotation_id", 0) not in (None, ""))


def _parsed(record: dict[str, Any], where: str) -> dict[str, Any]:
    """A record of CSV with its JSON cells as values."""
    cells = dict(record)
    for name, cell in record.items():
        if isinstance(cell, str) and _JSON.match(cell):
            try:
                cells[name] = json.loads(cell)
            except (ValueError, RecursionError) as error:
                problem = f"The cell {short_repr(name)} is not JSON: {error}"
                raise SadclError(problem, where=where, fix=_FIX) from None
    return cells


def _columns(records: list[Record], path: Path) -> tuple[list[str], set[str]]:
    """Names of the controls, and of the slice columns.

    Raises:
        SadclError: several columns may be the labels.
    """
    keys = dict.fromkeys(key for _, record in records for key in record if key not in ABOUT)
    photo = {photo_key(record, where) for where, record in records}
    others = [key for key in keys if key not in photo and key != "split"]
    controls = [key for key in others if any(_has_labels(record.get(key)) for _, record in records)]
    controls += [key for key in others if key.lower() in USUAL and key not in controls]
    controls = controls or (others if len(others) == 1 else [])
    if not controls:
        names = ", ".join(map(short_repr, others[:5])) or "none"
        raise SadclError(f"It is unknown which column has the labels: {names}", where=path, fix=_FIX)
    return controls, {key for key in others if key not in controls and key not in SCHEMA and is_valid_text(key)}


def _has_labels(value: Any) -> bool:
    """Whether a value is certainly that of a control of labels."""
    if isinstance(value, list):
        return any(map(label_kinds, value)) or (bool(value) and all(isinstance(item, str) for item in value))
    return bool(label_kinds(value))


def _labels(value: Any, name: str, controls: dict[str, Any], where: str) -> frozenset[str]:
    """Labels in the value of one control."""
    if isinstance(value, dict):
        return labels_of_value(value, name, controls, where)
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return frozenset().union(*(labels_of_value(item, name, controls, where) for item in value))
    labels = label_names([value] if isinstance(value, str) else value if value is not None else [], where)
    check_controls(labels, name, controls, where)
    return labels
