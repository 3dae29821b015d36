"""A CSV file with one row per label: the rows of a photo are joined (format ``rows``).

With a header, the columns are those of ``tabular``, as in Open Images (``ImageID,Source,LabelName,Confidence``) and in
tables of boxes (``filename,width,height,class,xmin,ymin,xmax,ymax``), whose boxes are ignored. A confidence of at least
0.5 is present, 0 is absent (Open Images: verified), anything between is neither present nor absent. A label without a
row is absent, but unknown where the files verify absent labels by 0: nobody has looked for it. Names of Open Images'
classes are taken from ``class-descriptions.csv`` in the same folder. A slice column counts where all rows of a photo
agree.

Without a header, as in AutoML's import files, a row is a photo and its labels, after ``TRAIN``, ``VALIDATION``,
``TEST`` or ``UNASSIGNED`` if it has that: ``UNASSIGNED,gs://bucket/1.jpg,cup,plate``.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from sadcl import params
from sadcl.data.sources import Source, csv_table
from sadcl.data.sources.columns import SAMPLE, Columns, find_columns, has_no_name, label_series, names_photo, normal
from sadcl.data.sources.rows import (
    COMPUTED_COLUMNS,
    SPLIT_NAMES,
    UNASSIGNED,
    Row,
    annotation_files,
    build_source,
    check_columns,
    label_names,
    photo_file,
    row_split,
    validation_as_test,
)
from sadcl.data.sources.tabular import RESERVED_COLUMNS, Record
from sadcl.data.sources.text import normal_name, short_repr
from sadcl.errors import SadclError

BOXES = frozenset(
    (
        "xmin", "ymin", "xmax", "ymax", "x_min", "y_min", "x_max", "y_max", "x1", "y1", "x2", "y2", "x", "y", "w", "h",
        "bbox", "bbox_x", "bbox_y", "bbox_width", "bbox_height", "image_width", "image_height", "isoccluded",
        "istruncated", "isgroupof", "isdepiction", "isinside", "source", "area", "depth",
    )
)  # fmt: skip
"""Columns that describe one label or box and not the photo."""
CORNERS = (("xmin", "ymax"), ("x_min", "y_max"), ("x1", "y2"), ("bbox_x", "bbox_y"))
MOST_ROWS = 200_000
"""Rows that are looked at for a photo that has several."""
_FIX = "Correct the row"


@dataclass
class _Photo:
    """Split, labels and slices of a photo, joined from its rows."""

    split: str
    labels: set[str] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)
    absent: set[str] = field(default_factory=set)
    slices: dict[str, str | None] = field(default_factory=dict)


def read_source(root: Path, settings: params.Ingest) -> Source:
    """Read the CSV files that the settings name.

    Raises:
        SadclError: a file is missing or damaged, or a row is invalid.
    """
    listed: list[tuple[str, _Photo]] = []
    classes: set[str] = set()
    for split, path, folder in annotation_files(root, settings):
        photos: dict[str, _Photo] = {}
        for where, file, row_labels, confidence, of_split, slices in _entries(path, settings):
            name = photo_file(folder, file, where)
            photo = photos.setdefault(name, _Photo(row_split(of_split, split, where), slices=dict(slices)))
            if of_split and photo.split != row_split(of_split, split, where):
                raise SadclError(f"The photo {short_repr(name)} is in two splits", where=where, fix=_FIX)
            classes |= row_labels
            photo.labels |= row_labels if confidence >= 0.5 else set()
            photo.unsure |= row_labels if 0 < confidence < 0.5 else set()
            photo.absent |= row_labels if confidence == 0 else set()
            photo.slices = {key: cell if slices.get(key) == cell else None for key, cell in photo.slices.items()}
        listed += photos.items()
    verified = any(photo.absent for _, photo in listed)
    rows = [_row(name, photo, classes if verified else set()) for name, photo in listed]
    source = build_source(validation_as_test(rows, settings), root / settings.files("train")[0], sorted(classes))
    note = "The rows verify absent labels by 0, so labels without a row are neither present nor absent"
    return replace(source, notes=[note]) if verified else source


def recognises(path: Path) -> bool:
    """Whether a CSV file has one row per label, or AutoML's rows without a header."""
    try:
        rows = csv_table.raw_rows(path)
        header = next((row for _, row in rows if any(row)), [])
        if without_header(header):
            return True
        sample = [dict(zip(header, row, strict=False)) for _, row in islice(rows, SAMPLE)]
        named = [name for name in header if name]
        columns = find_columns(named, sample)
        series = label_series([name for name in named if name != columns.file], sample)
        labels = [*columns.labels, *(name for group in series for name in group)]
        if not columns.file or not labels:
            return False
        names = {normal(name) for name in header}
        if any(names.issuperset(pair) for pair in CORNERS) or {"imageid", "labelname"} <= names:
            return True
        return _repeats(path, header.index(columns.file), [header.index(name) for name in labels])
    except SadclError:
        return False


def _repeats(path: Path, file: int, labels: Sequence[int]) -> bool:
    """Whether photos have several rows, and more often so than a cell has several labels."""
    photos: set[str] = set()
    repeats = several = 0
    for _, row in islice(csv_table.raw_rows(path), 1, MOST_ROWS):
        if len(row) > max(file, *labels):
            repeats += row[file] in photos
            several += any(mark in row[i] for i in labels for mark in ";,|")
            photos.add(row[file])
    return repeats > several


def without_header(row: Sequence[str]) -> bool:
    """Whether the first row of a file is a photo with its labels."""
    return len(row) > 1 and (names_photo(row[0]) or (_is_use(row[0]) and "/" in row[1]))


def _is_use(cell: str) -> bool:
    return cell.lower() in (*SPLIT_NAMES, *UNASSIGNED, "")


_Entry = tuple[str, str, frozenset[str], float, str, dict[str, str]]
"""Position of a row, its photo, labels, confidence, split, and slices."""


def first_row(path: Path) -> list[str]:
    """The first row that is not blank, whether it is a header or not."""
    return next((row for _, row in csv_table.raw_rows(path) if any(row)), [])


def label_cells(path: Path, labels: Sequence[str] = (), slices: Sequence[str] = ()) -> Iterator[str]:
    """Yield the cells of labels of each row, for the inference of a separator; none of a file without a header.

    Args:
        path: the file.
        labels: the columns of labels; empty finds one by its name.
        slices: columns that are no labels, whatever their names.
    """
    if without_header(first_row(path)):
        return
    names, records = csv_table.open_rows(path)
    sample = [record for _, record in islice(csv_table.open_rows(path)[1], SAMPLE)]
    columns = find_columns(names, sample, slices, labels).labels
    yield from (record[column] for _, record in records for column in columns)


def _entries(path: Path, settings: params.Ingest) -> Iterator[_Entry]:
    if without_header(first_row(path)):
        for line, row in csv_table.raw_rows(path):
            if any(row):
                yield _automl(row, f"{path}, line {line}", settings.separator)
        return
    names, records = csv_table.open_rows(path)
    sample = [record for _, record in islice(csv_table.open_rows(path)[1], SAMPLE)]
    columns = find_columns(names, sample, settings.slices, settings.label_columns)
    if not columns.file or not columns.labels:
        missing = "labels" if columns.file else "file"
        fix = "Begin the file with the header file,labels"
        raise SadclError(f"The header has no column {missing!r}", where=path, fix=fix)
    unused = {*BOXES, *COMPUTED_COLUMNS}
    check_columns([name for name in names if normal(name) not in unused], RESERVED_COLUMNS, path)
    yield from _with_header(columns, names, records, _titles(path.parent), settings.separator)


def _with_header(
    columns: Columns,
    names: Sequence[str],
    records: Iterable[Record],
    titles: dict[str, str],
    separator: str,
) -> Iterator[_Entry]:
    confidence = next((name for name in names if normal(name) == "confidence"), "")
    known = {columns.file, *columns.labels, columns.split, confidence, *RESERVED_COLUMNS}
    slices = [n for n in names if n not in known and normal(n) not in BOXES and normal(n) not in COMPUTED_COLUMNS]
    for where, record in records:
        labels = {label for column in columns.labels for label in label_names(record[column], where, separator)}
        yield (
            where,
            record[columns.file],
            frozenset(titles.get(label, label) for label in labels),
            _number(record[confidence], where) if confidence else 1.0,
            record[columns.split] if columns.split else "",
            {name: record[name] for name in slices if record[name]},
        )


def _automl(row: Sequence[str], where: str, separator: str) -> _Entry:
    use, *cells = row if _is_use(row[0]) else ["", *row]
    file, *labels = cells or [""]
    numbers = [cell for cell in labels[1:] if _is_number(cell)]
    if len(numbers) >= 4:  # corners of a box
        labels = labels[:1]
    names = (label_names(label, where, separator) for label in labels if label)
    return where, file, frozenset[str]().union(*names), 1.0, use, {}


def _number(cell: str, where: str) -> float:
    if cell and not _is_number(cell):
        raise SadclError(f"The confidence {short_repr(cell)} is no number from 0 to 1", where=where, fix=_FIX)
    return float(cell.replace(",", ".")) if cell else 1.0


def _is_number(cell: str) -> bool:
    try:
        return 0 <= float(cell.replace(",", ".")) <= 1
    except ValueError:
        return False


def _titles(folder: Path) -> dict[str, str]:
    """Names of Open Images' classes by their ids (``/m/01yrx``), from the table next to the labels."""
    tables = sorted(folder.glob("*class-descriptions*.csv"))
    rows = (row for path in tables for _, row in csv_table.raw_rows(path))
    return {
        row[0]: normal_name(row[1])
        for row in rows
        if len(row) == 2 and row[0].startswith("/") and not has_no_name(row[1])
    }


def _row(name: str, photo: _Photo, verified_classes: set[str]) -> Row:
    """Row of a photo; of the classes that the files verify, those without a row are unknown."""
    slices = {key: cell for key, cell in photo.slices.items() if cell}
    unknown = (photo.unsure | (verified_classes - photo.absent)) - photo.labels
    return Row(name, photo.split, frozenset(photo.labels), frozenset(unknown), slices)
