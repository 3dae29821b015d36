"""Meaning of a table's columns, by their names in the spellings of many tools and by their first values."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sadcl.data.sources.cells import is_flag
from sadcl.data.sources.photo_files import SUFFIXES
from sadcl.data.sources.rows import SPLIT_NAMES, UNASSIGNED, VALID, scalar_text

FILE = (
    "file", "filename", "file_name", "image", "image_name", "image_file", "image_filename", "image_path", "path",
    "file_path", "filepath", "img", "img_name", "img_path", "photo", "photo_name", "picture", "image_index", "imageid",
    "image_id", "fname", "img_id", "image_url", "url", "uri", "image_uri", "id",
)  # fmt: skip
"""Names of the column that names the photo, the usual ones first."""
LABELS = (
    "labels", "label", "tags", "tag", "classes", "class", "categories", "category", "class_name", "class_names",
    "label_name", "label_names", "labelname", "category_name", "finding_labels", "keywords",
    "etiketten", "etikett", "kategorien", "kategorie", "klassen", "klasse", "schlagwörter", "étiquettes", "etiquetas",
)  # fmt: skip
"""Names of the column of labels, the usual ones first."""
SPLIT = ("split", "subset", "ml_use", "partition", "is_valid")
SAMPLE = 50
"""Rows that are looked at."""
_UNNAMED = re.compile(r"(unnamed: ?\d+(_level_\d+|\.\d+)*)?", re.IGNORECASE)
_NUMBER = re.compile(r"(?:[\s_./#(\[-]*\d{1,3}|[\s_./#(\[-]+(?:[A-Za-z]|I{1,3}|IV)|(?<=[a-z])[A-Z])[)\]]?\Z")
"""A number or letter at the end of a name: ``Label 1``, ``tag2``, ``label_b``, ``labels[0]``, ``classA``."""
_LONGEST_NUMBER = 12
"""Most characters of it: a search through all of a long name would take time with the square of its length."""
_PHOTO = re.compile(rf"({'|'.join(re.escape(suffix) for suffix in sorted(SUFFIXES))})$", re.IGNORECASE)

Sample = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Columns:
    """Names of the columns with a meaning of their own; empty where the table has none.

    Attributes:
        file: names the photo.
        labels: hold its labels together.
        split: names its split.
    """

    file: str = ""
    labels: tuple[str, ...] = ()
    split: str = ""


def normal(name: str) -> str:
    """A column's name in lower case, with ``_`` for blanks and hyphens: ``Image Index`` becomes ``image_index``."""
    return re.sub(r"[\s_-]+", "_", name.strip().strip("\"'\ufeff").strip().lower())


def has_no_name(name: str) -> bool:
    """Whether a column is unnamed, as the index that pandas writes or an empty column of a spreadsheet."""
    return bool(_UNNAMED.fullmatch(name.strip()))


def names_photo(value: Any) -> bool:
    """Whether a value ends like the name of a photo file."""
    return isinstance(value, str) and bool(_PHOTO.search(value.split("?")[0].strip()))


def find_columns(
    names: Sequence[str], sample: Sample, slices: Iterable[str] = (), labels: Sequence[str] = ()
) -> Columns:
    """Find the columns of photo, labels and split.

    Args:
        names: of all columns.
        sample: the first rows.
        slices: columns that are known to be no labels.
        labels: the columns that are known to hold labels; without them, the one of the most usual name does.
    """
    left = [name for name in names if name not in {*slices, *labels}]
    file = _file(left, sample)
    left = [name for name in left if name != file]
    known = tuple(name for name in labels if name in names) or tuple(label_columns(left, sample)[:1])
    splits = (name for name in _named(left, SPLIT) if name == "split" or _all(name, sample, _is_split))
    return Columns(file, known, next((name for name in splits if name not in known), ""))


def label_columns(names: Sequence[str], sample: Sample) -> list[str]:
    """Columns that may hold labels, the most usual name first; a column of flags (0, 1) is a class instead."""
    return [name for name in _named(names, LABELS) if name == "labels" or not _all(name, sample, is_flag)]


def label_series(names: Sequence[str], sample: Sample) -> list[tuple[str, ...]]:
    """Columns that hold the labels of a photo together, by their numbered names: `label`, `label 2`; `tag1`, `tag2`.

    Where no such name is usual, the columns that are named by numbers alone are one series: pandas names them so when
    it expands a list. Columns that hold flags alone are classes.
    """
    by_stem = numbered(names)
    usual = [by_stem[stem] for stem in LABELS if stem in by_stem]
    plain = by_stem.get("", ())
    series = usual or ([plain] if _is_count(plain) else [])
    return [columns for columns in series if not all(is_class_or_blank(name, sample) for name in columns)]


def numbered(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Columns whose names differ in a number or letter at the end alone, by the normal form of what they share."""
    by_stem: dict[str, list[str]] = {}
    for name in names:
        match = _NUMBER.search(name.strip()[-_LONGEST_NUMBER:])
        stem = name.strip().removesuffix(match[0]) if match else name
        by_stem.setdefault(normal(stem), []).append(name)
    return {stem: tuple(columns) for stem, columns in by_stem.items() if len(columns) > 1}


def is_class_or_blank(name: str, sample: Sample) -> bool:
    """Whether a column holds flags alone (0, 1), or nothing."""
    return not _filled(name, sample) or _all(name, sample, is_flag)


def _is_count(names: Sequence[str]) -> bool:
    """Whether names are successive numbers, from any first one."""
    if not names or not all(name.isascii() and name.isdigit() for name in names):
        return False
    numbers = [int(name) for name in names]
    return numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def _file(names: Sequence[str], sample: Sample) -> str:
    named = _named(names, FILE)
    if "file" in named:
        return "file"
    photos = [name for name in names if _filled(name, sample) and all(map(names_photo, _filled(name, sample)))]
    usual = [name for name in named if name in photos] or (photos if len(photos) == 1 else named)
    return usual[0] if usual else ""


def _named(names: Sequence[str], known: Sequence[str]) -> list[str]:
    """Columns with a known name, in the order of those; an exact spelling precedes another."""
    places = {name: (known.index(normal(name)), name != known[0]) for name in names if normal(name) in known}
    return sorted(places, key=lambda name: places[name])


def _filled(name: str, sample: Sample) -> list[Any]:
    return [value for row in sample if (value := row.get(name)) not in (None, "")]


def _all(name: str, sample: Sample, holds: Any) -> bool:
    """Whether a text function holds for every filled cell of a column, and there is one."""
    texts = [scalar_text(value) for value in _filled(name, sample)]
    return bool(texts) and all(text is not None and holds(text) for text in texts)


def _is_split(text: str) -> bool:
    return text.lower() in SPLIT_NAMES or text.lower() in UNASSIGNED or text.lower() in VALID
