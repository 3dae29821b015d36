"""Columns of the user's tables: which of them are classes, and what separates labels."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from sadcl.data.onboarding.label_columns import choose_labels, label_groups, possible_labels
from sadcl.data.onboarding.questions import Options, Question
from sadcl.data.onboarding.separators import NAMES, Inference, contradiction, infer_separator, parts
from sadcl.data.onboarding.table_columns import (
    decide_columns,
    is_class,
    label_setting,
    no_classes,
    refuse_unknown,
    slice_setting,
)
from sadcl.data.onboarding.vectors import automl_cells, refuse_vectors
from sadcl.data.sources import csv_table, long_table, parquet_table, tabular
from sadcl.data.sources.cells import LISTS, flag, is_flag
from sadcl.data.sources.columns import LABELS, SAMPLE, find_columns, has_no_name, normal
from sadcl.data.sources.rows import scalar_text
from sadcl.data.sources.text import short_repr
from sadcl.errors import SadclError
from sadcl.names import counted

OPEN: dict[str, tabular.Open] = {"csv": csv_table.open_rows, "parquet": parquet_table.open_rows}
DISTINCT = 10_000
"""Most different cells of a column that are counted."""


@dataclass(frozen=True)
class Understanding:
    """How tables are read.

    Attributes:
        settings: those of ``ingest``: labels, slices, separator.
        notes: what was inferred, for the preview.
        blank: number of photos whose labels are blank; None if every photo has its zeros.
        attention: decisions of the user that the cells contradict, for the preview.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    blank: int | None = 0
    attention: tuple[str, ...] = ()


def is_table(path: Path, *, loosely: bool = False) -> bool:
    """Whether a CSV or Parquet file names photos and has labels or a column of flags.

    Args:
        path: the file.
        loosely: any column of text that repeats may be the labels.
    """
    try:
        names, sample = _head(path, _kind(path))
    except SadclError:
        return False
    known = find_columns(names, sample)
    others = [name for name in names if name not in (known.file, known.split)]
    if not known.file:
        return False
    if loosely:
        return bool(possible_labels(others, sample))
    return bool(known.labels or label_groups(others, sample)) or any(is_class(name, sample) for name in others)


def table_error(path: Path) -> SadclError | None:
    """Error in the first rows of a table; None if there is none."""
    try:
        refuse_title(path)
        _head(path, _kind(path))
    except SadclError as error:
        return error
    return None


def refuse_title(path: Path) -> None:
    """Refuse a table with other rows above its header.

    Raises:
        SadclError: a later row looks like the header.
    """
    if _kind(path) == "csv" and (below := csv_table.header_below(path)):
        line, names = below
        listed = f"{', '.join(map(short_repr, names[:5]))}{', ...' if len(names) > 5 else ''}"
        problem = f"The first row names no column; line {line} looks like the header: {listed}"
        raise SadclError(problem, where=path, fix="Remove the lines above it")


def understand(paths: Sequence[Path], kind: str, options: Options) -> Understanding:
    """Decide about columns and separator of tables.

    Args:
        paths: the tables, of equal columns.
        kind: `csv`, `parquet` or `rows`.
        options: what the user has decided, and who answers the rest.

    Raises:
        SadclError: a table is damaged or has no labels, only some have a column of labels, or a question stays open.
    """
    notes = [note for path in paths for note in _encoding(path, kind)]
    if kind != "parquet":
        for path in paths:
            refuse_title(path)
            _ask_about_unnamed(path, options)
    if kind == "rows":
        return _understand_rows(paths, options, notes)
    columns, sample = _spread(paths[0], kind)
    settings, of_columns = decide_columns(columns, sample, paths[0], options)
    notes += of_columns
    columns, cells, blank = _counts(paths, kind, settings)
    if "labels" in columns:
        for path in paths:
            records = tabular.table(path, OPEN[kind], settings.get("slices", ()), _label_columns(settings))[1]
            refuse_vectors((cell for _, record in records for cell in record["labels"]), path)
        inferred = infer_separator(cells["labels"])
        separator = decide_separator(inferred, cells["labels"], paths[0], options)
        notes += separator_note(separator, inferred)
        settings |= {"separator": separator} if separator != ";" else {}
        return Understanding(settings, tuple(notes), blank, _attention(options, cells["labels"]))
    slices = [*settings.get("slices", ()), *no_classes(columns, cells, paths[0], options)]
    classes = [name for name in columns if name not in slices]
    if _are_signs(classes, cells):
        notes += ["Cells hold 1 and -1 alone: -1 is absent"]
        settings = {**settings, "minus_one": "absent"}
    else:
        notes += _ignored_notes(classes, cells)
    notes += [
        f"{short_repr(name)} holds 0 and 1 and is one class; --labels {name} makes a class of each value"
        for name in classes
        if normal(name) in LABELS
    ]
    return Understanding({**settings, **slice_setting(slices)}, tuple(notes), blank)


def _understand_rows(paths: Sequence[Path], options: Options, notes: list[str]) -> Understanding:
    """Settings of tables with one row per label, whose cells rarely hold several."""
    labels, slices = options.labels, options.slices
    for path in paths:
        if not long_table.without_header(long_table.first_row(path)):
            columns, sample = _spread(path, "csv")
            refuse_unknown(columns, path, options)
            file = find_columns(columns, sample, slices).file
            left = [name for name in columns if name not in (*slices, file)]
            if not labels and (groups := label_groups(left, sample)):
                # columns of 0 and 1 describe boxes here
                chosen, of_labels = choose_labels(groups, left, [], sample, path, options)
                labels, notes = chosen or (), [*notes, *of_labels]
        refuse_vectors(automl_cells(path), path)
        refuse_vectors(long_table.label_cells(path, labels, slices), path)
    settings, separator = {**label_setting(labels), **slice_setting(slices)}, options.separator
    cells = Counter(cell for path in paths for cell in long_table.label_cells(path, labels, slices))
    if separator is None:
        inferred = infer_separator(cells)
        separator = inferred.choices[0] if len(inferred.choices) == 1 and inferred.cells[0] else ""
        notes = [*notes, *(separator_note(separator, inferred) if separator else ())]
    notes = [*notes, "The rows of a photo are joined"]
    return Understanding({**settings, "separator": separator}, tuple(notes), attention=_attention(options, cells))


def _attention(options: Options, cells: Mapping[str, int]) -> tuple[str, ...]:
    """Sentence about a separator of the user's that the cells contradict."""
    text = contradiction(options.separator, cells) if options.separator is not None else ""
    return (text,) if text else ()


def _label_columns(settings: dict[str, Any]) -> Sequence[str]:
    labels: str | list[str] = settings.get("labels", [])
    return [labels] if isinstance(labels, str) else labels


def _kind(path: Path) -> str:
    return "parquet" if path.suffix.lower() == ".parquet" else "csv"


def _head(path: Path, kind: str) -> tuple[list[str], list[dict[str, Any]]]:
    """Columns and first rows of a table."""
    names, records = OPEN[kind](path)
    return list(names), [record for _, record in islice(records, SAMPLE)]


def _spread(path: Path, kind: str) -> tuple[list[str], list[dict[str, Any]]]:
    """Columns of a table, and rows drawn from all of it: a table may be sorted by its labels."""
    names, records = OPEN[kind](path)
    draw, rows = Random(0), list[dict[str, Any]]()
    for number, (_, record) in enumerate(records):
        if number < SAMPLE:
            rows.append(record)
        elif (place := draw.randrange(number + 1)) < SAMPLE:
            rows[place] = record
    return list(names), rows


def _encoding(path: Path, kind: str) -> list[str]:
    try:
        name = "utf-8" if kind == "parquet" else csv_table.encoding(path)
    except (OSError, UnicodeError):  # its reader says so
        return []
    if name.startswith("utf-8"):
        return []
    return [f"{path.name} is no UTF-8 and was read as {'Windows-1252' if name == 'cp1252' else name.upper()}"]


def _ask_about_unnamed(path: Path, options: Options) -> None:
    """Ask about text in a column without a name, which is left out."""
    rows = csv_table.raw_rows(path)
    header = next((row for _, row in rows if any(row)), [])
    if long_table.without_header(header):
        return
    unnamed = [i for i, name in enumerate(header) if has_no_name(name)]
    for line, row in rows if unnamed else ():
        for i in unnamed:
            if len(row) > i and row[i] and not row[i].replace(".", "").isdigit():
                problem = f"Column {i + 1} has no name, but holds {short_repr(row[i])}"
                choices = (
                    ("leave out", "it is left out"),
                    ("stop", "it needs a name in the header, such as labels 2 for further labels"),
                )
                if options.ask(Question(problem, choices, "a name in the header", f"{path}, line {line}")) == "stop":
                    raise SadclError(problem, where=path, fix="Name the column, or remove it")
                return


def _counts(
    paths: Sequence[Path], kind: str, settings: dict[str, Any]
) -> tuple[list[str], dict[str, Counter[str]], int | None]:
    """Columns that may be classes, the number of each of their cells, and the number of rows without any."""
    cells: defaultdict[str, Counter[str]] = defaultdict(Counter)
    blank, columns_left = 0, list[str]()
    slices, labels = settings.get("slices", ()), _label_columns(settings)
    for path in paths:
        columns, records = tabular.table(path, OPEN[kind], slices, labels)
        if "file" not in columns:
            tabular.class_columns(columns, slices, path)  # names what is missing
        if path != paths[0] and ("labels" in columns) != (columns_left == ["labels"]):
            has, lacks = (path, paths[0]) if "labels" in columns else (paths[0], path)
            problem = f"Only {short_repr(has.name)} has a column of labels, not {short_repr(lacks.name)}"
            raise SadclError(problem, where=lacks, fix="Give the tables one header, or name one of them as PATH")
        reserved = {*tabular.RESERVED_COLUMNS, *slices}
        has_labels = "labels" in columns and "labels" not in slices
        columns_left = ["labels"] if has_labels else [name for name in columns if name not in reserved]
        for _, record in records:
            fields = {name: record[name] if has_labels else (record[name],) for name in columns_left}
            filled = False
            for name, values in fields.items():
                counted = cells[name]
                for value in values:
                    text = _text(value)
                    filled = filled or bool(text) or isinstance(value, list)
                    if text and (text in counted or len(counted) < DISTINCT):
                        counted[text] += 1
            blank += not filled
    has_zeros = "labels" not in columns_left and not blank
    return columns_left, {name: cells[name] for name in columns_left}, None if has_zeros else blank


def _text(value: Any) -> str:
    """Text of a cell; a list, whose labels nothing separates, has none."""
    text = value if type(value) is str else "" if isinstance(value, list) else scalar_text(value)
    return "?" if text is None else text


def decide_separator(inferred: Inference, cells: Counter[str], path: Path, options: Options) -> str:
    """The separator of labels: the user's, the inferred one, or the answer to a question.

    Raises:
        SadclError: the question stays open.
    """
    if options.separator is not None:
        return options.separator
    if len(inferred.choices) == 1:
        return inferred.choices[0]
    several = (cell for cell in cells if any(len(parts(cell, mark)) > 1 for mark in inferred.choices))
    differing = (cell for cell in cells if len({tuple(parts(cell, mark)) for mark in inferred.choices}) > 1)
    example = next(several, None) or next(differing, next(iter(cells)))
    choices = tuple((mark, _reading(example, mark)) for mark in inferred.choices)
    option = " or ".join(f"--separator {NAMES.get(mark, mark)}" for mark in inferred.choices)
    return options.ask(Question(f"{short_repr(example)} may be one label or several", choices, option, path))


def _reading(cell: str, mark: str) -> str:
    labels = parts(cell, mark)
    if len(labels) == 1:
        return f"one label, {short_repr(labels[0])}"
    return f"{len(labels)} labels, {', '.join(map(short_repr, labels[:4]))}{', ...' if len(labels) > 4 else ''}"


def separator_note(separator: str, inferred: Inference) -> list[str]:
    """Note for the preview on how labels are separated."""
    split, filled = inferred.cells
    if separator == LISTS:
        return ["Cells of labels are lists"]
    if not separator:
        return ["A cell is one label"]
    if separator == inferred.choices[0] and split:
        return [f"{separator!r} separates labels, in {split:,} of {filled:,} cells"]
    return []


def _are_signs(classes: Sequence[str], cells: dict[str, Counter[str]]) -> bool:
    """Whether the columns of classes hold 1 and -1, and neither 0 nor blanks, as CelebA's do."""
    states = {flag(cell) for name in classes for cell in cells[name] if is_flag(cell)}
    return states == {True, None} and len({cells[name].total() for name in classes}) == 1


def _ignored_notes(classes: Sequence[str], cells: dict[str, Counter[str]]) -> list[str]:
    """Note on cells of -1: neither present nor absent."""
    ignored = {
        name: sum(n for cell, n in cells[name].items() if is_flag(cell) and flag(cell) is None) for name in classes
    }
    total = sum(ignored.values())
    names = ", ".join(f"{name} {count:,}" for name, count in ignored.items() if count)
    noun = counted(total, "cell of -1 is", "cells of -1 are")
    return [f"{noun} neither present nor absent: {names}"] if total else []
