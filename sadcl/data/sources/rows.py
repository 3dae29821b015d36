"""Rows of a photo, its labels and its slice columns: the common form of the formats of your own photos."""

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import Any

from sadcl import params
from sadcl.data.sources import Image, Source, safe_join
from sadcl.data.sources.cells import split_labels
from sadcl.data.sources.text import is_valid_text, listed_name, normal_name, short_repr
from sadcl.data.table import SCHEMA, SPLITS
from sadcl.errors import SadclError

SPLIT_NAMES = {
    "train": "train", "training": "train", "select": "select", "val": "select", "valid": "select",
    "validation": "select", "dev": "select", "test": "test", "testing": "test",
}  # fmt: skip
"""Usual names of splits, and the split of each."""
UNASSIGNED = ("unassigned", "unsplit")
"""Names of a split that has still to be assigned."""
VALID = {"true": "select", "false": "train"}
"""Values of a column that says whether a photo is for validation, as fastai's ``is_valid``."""
COMPUTED_COLUMNS = frozenset(
    ("image_id", "width", "height", "bytes", "sha256", "brightness", "sharpness", "phash", "problem")
)  # fmt: skip
"""Columns that are ignored: the table computes its own values from the photos."""


@dataclass(frozen=True)
class Row:
    """One annotated photo, with class names in place of indexes.

    Attributes:
        file: relative to the source's folder.
        split: `train`, `select`, `test`, or empty where the source assigns none.
        labels: names of the classes that are present.
        ignored: names of the classes that are neither present nor absent.
        slices: text of each slice column, by its name.
    """

    file: str
    split: str
    labels: frozenset[str]
    ignored: frozenset[str] = frozenset()
    slices: Mapping[str, str] = field(default_factory=dict)


def build_source(rows: Sequence[Row], where: object, classes: Sequence[str] | None = None) -> Source:
    """Convert rows to a source, whose class names are in one Unicode form (NFC).

    A slice column becomes numeric if each of its values is a number.

    Args:
        rows: one per photo.
        where: the file or folder, for errors.
        classes: names in order of index; by default all labels, sorted.

    Raises:
        SadclError: no photo has a label, or the name of a class or column is blank or not valid text.
    """
    normal = {label: normal_name(label) for row in rows for label in row.labels | row.ignored}
    names = sorted({*normal.values()}) if classes is None else list(dict.fromkeys(map(normal_name, classes)))
    for name in (*names, *(name for row in rows for name in row.slices)):
        if not is_valid_text(name):
            raise SadclError(f"{name!r} is not a valid name of a class or a column", where=where, fix="Rename it")
    if rows and not any(row.labels for row in rows):
        raise SadclError("No photo has a label", where=where, fix="Label at least one photo")
    position, numeric = {name: i for i, name in enumerate(names)}, _numeric(rows)
    index = {label: position[name] for label, name in normal.items()}
    images = [
        Image(
            image_id=row.file,
            file=row.file,
            split=row.split,
            labels=tuple(sorted({index[label] for label in row.labels})),
            ignored=tuple(sorted({index[label] for label in row.ignored} - {index[label] for label in row.labels})),
            slices={name: float(cell) if name in numeric else cell for name, cell in row.slices.items()},
        )
        for row in rows
    ]
    return Source(tuple(names), images)


def annotation_files(root: Path, settings: params.Ingest) -> Iterator[tuple[str, Path, str]]:
    """Yield split, annotation file and photo folder of each file; the split is empty if there is one split only.

    Names of photos are relative to the folder that ``ingest.images`` gives, else to the source, and to the file's own
    folder where a split has several files.

    Raises:
        SadclError: there is no file for train, or a path leads out of the source.
    """
    if "train" not in settings.annotations:
        where, fix = "ingest.annotations", "Name the file there"
        raise SadclError(f"A {settings.format} source needs an annotation file for train", where=where, fix=fix)
    for split in settings.annotations:
        names = settings.files(split)
        for name in names:
            file = safe_join("", name, "ingest.annotations")
            folder = settings.images.get(split, settings.images.get("train", ""))
            if not folder and len(names) > 1:
                folder = posixpath.dirname(file)
            yield "" if len(settings.annotations) == 1 else split, root / file, folder


def photo_file(folder: str, name: Any, where: object) -> str:
    """Path of a listed photo below the source; of an address or an absolute path, the path in it.

    Raises:
        SadclError: the value names no file, or leaves the source's folder.
    """
    if not isinstance(name, str) or (name and not is_valid_text(name)):
        raise SadclError(f"{short_repr(name)} names no file", where=where, fix="Give each photo a file name")
    plain = name.replace("\\", "/")
    elsewhere = plain.startswith("/") or plain[1:3] == ":/" or "://" in plain
    return safe_join("" if elsewhere else folder, listed_name(name) if elsewhere else name, where)


def row_split(value: Any, default: str, where: object) -> str:
    """Split of a row, from one of ``SPLIT_NAMES``; ``default`` for an empty field.

    Raises:
        SadclError: the field names no known split.
    """
    name = scalar_text(value)
    if name == "" or (name and name.lower() in UNASSIGNED):
        return default
    if name is not None and name.lower() in VALID:
        return VALID[name.lower()]
    if name is None or name.lower() not in SPLIT_NAMES:
        raise SadclError(
            f"There is no split {short_repr(value)}", where=where, fix=f"Use {', '.join(SPLITS)} or nothing"
        )
    return SPLIT_NAMES[name.lower()]


def validation_as_test(rows: list[Row], settings: params.Ingest) -> list[Row]:
    """Rows with the validation split as the test split, if they have train and validation only."""
    splits = {row.split for row in rows}
    if "select" in settings.annotations or splits != {"train", "select"}:
        return rows
    return [replace(row, split="test") if row.split == "select" else row for row in rows]


def scalar_text(value: Any) -> str | None:
    """Text, a number or a truth value as stripped text; an absent value as empty text; None for any other type."""
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, str | int | float):
        return str(value).strip()
    return None


def label_names(value: Any, where: object, separator: str = ";") -> frozenset[str]:
    """Label names from text, a list, or a single number.

    Args:
        value: of the column or key of labels.
        where: the file or row, for errors.
        separator: between two labels in text, as in ``ingest.separator``.

    Raises:
        SadclError: the value has another type, a name is not valid text, or a label's value is no flag.
    """
    try:
        items = (
            split_labels(value, separator) if isinstance(value, str) else value if isinstance(value, list) else [value]
        )
    except SadclError as error:
        raise SadclError(error.what, where=where, fix=error.fix) from None
    names = [normal_name(name) if (name := scalar_text(item)) else name for item in items]
    if any(name is None or (name and not is_valid_text(name)) for name in names):
        raise SadclError(f"Labels are names, not {short_repr(value)}", where=where, fix="Use names or a list of names")
    return frozenset(name for name in names if name)


def check_columns(columns: Iterable[str], allowed: Iterable[str], where: object) -> None:
    """Reject repeated columns, and names that the table reserves for itself.

    Args:
        columns: names of all columns.
        allowed: names that mean the same here and in the table.
        where: the file or row, for errors.

    Raises:
        SadclError: a column occurs twice, or has a reserved name.
    """
    unique: set[str] = set()
    reserved = set(SCHEMA) - set(allowed) - COMPUTED_COLUMNS
    for name in columns:
        repeated = normal_name(name) in unique
        if repeated or name in reserved:
            problem = "occurs twice in the header" if repeated else "has a name that the table reserves"
            raise SadclError(f"The column {short_repr(name)} {problem}", where=where, fix="Rename it")
        unique.add(normal_name(name))


def _numeric(rows: Iterable[Row]) -> set[str]:
    numbers: dict[str, bool] = {}
    for row in rows:
        for name, cell in row.slices.items():
            numbers[name] = numbers.get(name, True) and _is_number(cell)
    return {name for name, every in numbers.items() if every}


def _is_number(cell: str) -> bool:
    try:
        return "_" not in cell and isfinite(float(cell))  # Python reads 2023_01 as 202301
    except ValueError:
        return False
