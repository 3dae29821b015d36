"""What people's own formats share: rows that name a photo, its labels and whatever else is known of it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import Any

from sadcl import params
from sadcl.data.sources import Image, Source, inside
from sadcl.data.sources.text import is_text, shown
from sadcl.data.table import SCHEMA, SPLITS
from sadcl.errors import SadclError

SPLIT_NAMES = {
    "train": "train", "training": "train", "select": "select", "val": "select", "valid": "select",
    "validation": "select", "dev": "select", "test": "test", "testing": "test",
}  # fmt: skip
"""How splits are called, and what we call them."""
BETTER = frozenset(
    ("image_id", "width", "height", "bytes", "sha256", "brightness", "sharpness", "phash", "problem")
)  # fmt: skip
"""Columns that are left out, for the table has its own: it looks at the photos."""


@dataclass(frozen=True)
class Row:
    """One photo.

    Attributes:
        file: relative to the source's folder.
        split: as in ``Image``.
        labels, ignored: names of the classes that are present, and of those neither present nor absent.
        slices: words of anything else known about it, by column.
    """

    file: str
    split: str
    labels: frozenset[str]
    ignored: frozenset[str] = frozenset()
    slices: Mapping[str, str] = field(default_factory=dict)


def source(rows: Sequence[Row], where: object, classes: Sequence[str] | None = None) -> Source:
    """Make rows a source; a slice column in which every filled field is a number becomes one of numbers.

    Args:
        rows: one a photo.
        where: the file or folder, for errors.
        classes: names in order of index; by default all labels, sorted.

    Raises:
        SadclError: no photo has a label, or a name can't be kept.
    """
    names = sorted({label for row in rows for label in row.labels | row.ignored}) if classes is None else classes
    for name in (*names, *(name for row in rows for name in row.slices)):
        if not is_text(name):
            raise SadclError(f"{name!r} is no name for a class or a column", where=where, fix="Give it a name in text")
    if rows and not any(row.labels for row in rows):
        raise SadclError("No image has a label", where=where, fix="Give at least one photo a label")
    index, numeric = {name: i for i, name in enumerate(names)}, _numeric(rows)
    images = [
        Image(
            image_id=row.file,
            file=row.file,
            split=row.split,
            labels=tuple(sorted(index[label] for label in row.labels)),
            ignored=tuple(sorted(index[label] for label in row.ignored - row.labels)),
            slices={name: float(cell) if name in numeric else cell for name, cell in row.slices.items()},
        )
        for row in rows
    ]
    return Source(tuple(names), images)


def annotation_files(root: Path, settings: params.Ingest) -> Iterator[tuple[str, Path, str]]:
    """The split, annotation file and photo folder of each entry; one file alone says nothing of splits.

    Raises:
        SadclError: there is none for train, or one leaves the source.
    """
    if "train" not in settings.annotations:
        where, fix = "ingest.annotations", "Name it"
        raise SadclError(f"A {settings.format} source needs an annotation file for train", where=where, fix=fix)
    for split, name in settings.annotations.items():
        folder = settings.images.get(split, settings.images.get("train", ""))
        yield "" if len(settings.annotations) == 1 else split, root / inside("", name, "ingest.annotations"), folder


def given_split(value: Any, otherwise: str, where: object) -> str:
    """The split that a row names by one of ``SPLIT_NAMES``, or ``otherwise`` where it names none.

    Raises:
        SadclError: there is no such split.
    """
    name = words(value)
    if name == "":
        return otherwise
    if name is None or name.lower() not in SPLIT_NAMES:
        raise SadclError(f"There is no split {shown(value)}", where=where, fix=f"Use {', '.join(SPLITS)} or nothing")
    return SPLIT_NAMES[name.lower()]


def held_out(rows: list[Row], settings: params.Ingest) -> list[Row]:
    """Where rows name no split for test but one for validation, that is what the model is tested on."""
    named = {row.split for row in rows}
    if "select" in settings.annotations or named != {"train", "select"}:
        return rows
    return [replace(row, split="test") if row.split == "select" else row for row in rows]


def words(value: Any) -> str | None:
    """A word, number or truth value as text without blanks around it; nothing as empty; None for all else."""
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, str | int | float):
        return str(value).strip()
    return None


def names(value: Any, where: object) -> frozenset[str]:
    """Labels as a text separated by ``;``, as a list, or as a single number.

    Raises:
        SadclError: something else.
    """
    items = value.split(";") if isinstance(value, str) else value if isinstance(value, list) else [value]
    found = [words(item) for item in items]
    if any(name is None or (name and not is_text(name)) for name in found):
        raise SadclError(f"Labels are names, not {shown(value)}", where=where, fix="Give names, or a list of them")
    return frozenset(name for name in found if name)


def check_columns(columns: Iterable[str], kept: Iterable[str], where: object) -> None:
    """Refuse a column that stands twice, or has a name that the table itself uses.

    Args:
        columns: all of them.
        kept: those that mean here what they mean in the table.
        where: the file.
    """
    seen: set[str] = set()
    taken = set(SCHEMA) - set(kept) - BETTER
    for name in columns:
        if name in seen or name in taken:
            why = "stands twice in the header" if name in seen else "has a name that the table itself uses"
            raise SadclError(f"The column {shown(name)} {why}", where=where, fix="Rename it")
        seen.add(name)


def _numeric(rows: Iterable[Row]) -> set[str]:
    numbers: dict[str, bool] = {}
    for row in rows:
        for name, cell in row.slices.items():
            numbers[name] = numbers.get(name, True) and _is_number(cell)
    return {name for name, every in numbers.items() if every}


def _is_number(cell: str) -> bool:
    try:
        return isfinite(float(cell))
    except ValueError:
        return False
