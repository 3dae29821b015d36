"""Columns of the user's tables: which of them are classes, and what separates labels."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sadcl.data.onboarding.questions import Options, Question
from sadcl.data.onboarding.separators import NAMES, Inference, infer_separator, parts
from sadcl.data.sources import csv_table, long_table, parquet_table, tabular
from sadcl.data.sources.cells import LISTS, are_codes, flag, is_flag
from sadcl.data.sources.columns import SAMPLE, find_columns, has_no_name, label_columns
from sadcl.data.sources.rows import COMPUTED_COLUMNS, scalar_text
from sadcl.data.sources.text import short_repr
from sadcl.errors import SadclError

OPEN: dict[str, tabular.Open] = {"csv": csv_table.open_rows, "parquet": parquet_table.open_rows}
DISTINCT = 10_000
"""Most different cells of a column that are counted."""
WRONG = 0.2
"""Largest part of a column's cells that may be no flags, for a class with a few wrong cells."""
CLEAR = 0.8
"""Smallest part of a column's cells that are no flags, for a column that is no class."""


@dataclass(frozen=True)
class Understanding:
    """How tables are read.

    Attributes:
        settings: those of ``ingest``: slices, separator.
        notes: what was inferred, for the preview.
        blank: number of photos whose labels are blank; None if every photo has its zeros.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    blank: int | None = 0


def is_table(path: Path) -> bool:
    """Whether a CSV or Parquet file names photos and has labels or a column of flags."""
    kind = "parquet" if path.suffix.lower() == ".parquet" else "csv"
    try:
        names, records = OPEN[kind](path)
        sample = [record for _, record in zip(range(SAMPLE), (record for _, record in records), strict=False)]
        known = find_columns(names, sample)
        others = [name for name in names if name not in (known.file, known.split)]
        return bool(known.file) and (bool(known.labels) or any(_is_class(name, sample) for name in others))
    except SadclError:
        return False


def understand(paths: Sequence[Path], kind: str, options: Options) -> Understanding:
    """Decide about columns and separator of tables.

    Args:
        paths: the tables, of equal columns.
        kind: `csv`, `parquet` or `rows`.
        options: what the user has decided, and who answers the rest.

    Raises:
        SadclError: a table is damaged or has no labels, or a question stays open.
    """
    notes = [note for path in paths for note in _encoding(path, kind)]
    if kind != "parquet":
        for path in paths:
            _ask_about_unnamed(path, options)
    if kind == "rows":
        separator = "" if options.separator is None else options.separator
        return Understanding({"separator": separator}, (*notes, "The rows of a photo are joined"))
    slices = _label_rivals(paths, kind, options)
    columns, cells, blank = _counts(paths, kind, slices)
    if "labels" in columns:
        inferred = infer_separator(cells["labels"])
        separator = _separator(inferred, cells["labels"], paths[0], options)
        settings = {"slices": slices} if slices else {}
        note = _separator_note(separator, inferred)
        return Understanding(settings | ({"separator": separator} if separator != ";" else {}), (*notes, *note), blank)
    slices = [*slices, *_no_classes(columns, cells, paths[0], options)]
    notes += _ignored_notes([name for name in columns if name not in slices], cells)
    return Understanding({"slices": slices} if slices else {}, tuple(notes), blank)


def _is_class(name: str, sample: Sequence[dict[str, Any]]) -> bool:
    cells = {scalar_text(record[name]) or "" for record in sample} - {""}
    return bool(cells) and all(map(is_flag, cells)) and not are_codes(cells) and name not in COMPUTED_COLUMNS


def _encoding(path: Path, kind: str) -> list[str]:
    if kind == "parquet" or (name := csv_table.encoding(path)).startswith("utf-8"):
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
                choices = (("leave out", "it is left out"), ("stop", "it needs a name in the header"))
                if options.ask(Question(problem, choices, "a name in the header", f"{path}, line {line}")) == "stop":
                    raise SadclError(problem, where=path, fix="Name the column, or remove it")
                return


def _label_rivals(paths: Sequence[Path], kind: str, options: Options) -> list[str]:
    """Columns that could hold the labels but don't: they become slice columns."""
    names, records = OPEN[kind](paths[0])
    sample = [record for _, record in zip(range(SAMPLE), (record for _, record in records), strict=False)]
    missing = [name for name in options.slices if name not in names]
    if missing:
        raise SadclError(f"There is no column {missing[0]!r}", where=paths[0], fix="Check --slice")
    slices = list(options.slices)
    left = [name for name in names if name not in slices and name != find_columns(names, sample, slices).file]
    found = label_columns(left, sample)
    if not found or found[0] == "labels":
        return slices
    flags = [name for name in left if name not in found and _is_class(name, sample)]
    if len(flags) > 1:
        problem = f"Labels may be in the column {short_repr(found[0])}, or in one column per class"
        choices: tuple[tuple[str, str], ...] = (
            ("columns", f"one class per column: {', '.join(flags[:4])}{', ...' if len(flags) > 4 else ''}"),
            ("labels", f"the labels are in {short_repr(found[0])}"),
        )
        option = f"--slice {found[0]} (or --slice of the other columns)"
        if options.ask(Question(problem, choices, option, paths[0])) == "columns":
            return [*slices, *found]
        return [*slices, *found[1:]]
    if len(found) > 1:
        problem = f"Labels may be in the columns {' or '.join(map(short_repr, found))}"
        choices = tuple((name, f"the labels are in {short_repr(name)}") for name in found)
        option = f"--slice {found[1]} for a column that holds none"
        chosen = options.ask(Question(problem, choices, option, paths[0]))
        return [*slices, *(name for name in found if name != chosen)]
    return slices


def _counts(
    paths: Sequence[Path], kind: str, slices: Sequence[str]
) -> tuple[list[str], dict[str, Counter[str]], int | None]:
    """Columns that may be classes, the number of each of their cells, and the number of rows without any."""
    cells: dict[str, Counter[str]] = {}
    blank, columns_left = 0, list[str]()
    for path in paths:
        columns, records = tabular.table(path, OPEN[kind], slices)
        if "file" not in columns:
            tabular.class_columns(columns, slices, path)  # names what is missing
        reserved = {*tabular.RESERVED_COLUMNS, *slices}
        columns_left = ["labels"] if "labels" in columns else [name for name in columns if name not in reserved]
        for _, record in records:
            texts = {name: _text(record[name]) for name in columns_left}
            blank += not any(texts.values()) and not any(isinstance(record[name], list) for name in columns_left)
            for name, text in texts.items():
                counted = cells.setdefault(name, Counter())
                if text and (text in counted or len(counted) < DISTINCT):
                    counted[text] += 1
    has_zeros = "labels" not in columns_left and not blank
    return columns_left, {name: cells.get(name, Counter()) for name in columns_left}, None if has_zeros else blank


def _text(value: Any) -> str:
    """Text of a cell; a list, whose labels nothing separates, has none."""
    text = "" if isinstance(value, list) else scalar_text(value)
    return "?" if text is None else text


def _separator(inferred: Inference, cells: Counter[str], path: Path, options: Options) -> str:
    if options.separator is not None:
        return options.separator
    if len(inferred.choices) == 1:
        return inferred.choices[0]
    example = next(cell for cell in cells if any(len(parts(cell, mark)) > 1 for mark in inferred.choices))
    choices = tuple((mark, _reading(example, mark)) for mark in inferred.choices)
    option = " or ".join(f"--separator {NAMES.get(mark, mark)}" for mark in inferred.choices)
    return options.ask(Question(f"{short_repr(example)} may be one label or several", choices, option, path))


def _reading(cell: str, mark: str) -> str:
    labels = parts(cell, mark)
    if len(labels) == 1:
        return f"one label, {short_repr(labels[0])}"
    return f"{len(labels)} labels, {', '.join(map(short_repr, labels[:4]))}{', ...' if len(labels) > 4 else ''}"


def _separator_note(separator: str, inferred: Inference) -> list[str]:
    split, filled = inferred.cells
    if separator == LISTS:
        return ["Cells of labels are lists"]
    if not separator:
        return ["A cell is one label"]
    if separator == inferred.choices[0] and split:
        return [f"{separator!r} separates labels, in {split:,} of {filled:,} cells"]
    return []


def _no_classes(columns: Sequence[str], cells: dict[str, Counter[str]], path: Path, options: Options) -> list[str]:
    """Columns of a table with one column per class that are no classes.

    A column with a few wrong cells still counts as a class; its reader reports the first of them.
    """
    slices = []
    for name in columns:
        filled = sum(cells[name].values())
        wrong = (
            filled if are_codes(set(cells[name])) else sum(n for cell, n in cells[name].items() if not is_flag(cell))
        )
        if not filled and len(columns) > 1:
            problem = f"The column {short_repr(name)} is empty"
            choices = (("slice", "it is no class"), ("class", "it is a class that no photo has"))
            option = f"--slice {name}"
            if options.ask(Question(problem, choices, option, path)) == "slice":
                slices.append(name)
        elif wrong > CLEAR * filled:
            slices.append(name)
        elif wrong > WRONG * filled:
            examples = ", ".join([short_repr(cell) for cell in cells[name] if not is_flag(cell)][:3])
            problem = (
                f"The column {short_repr(name)} holds flags such as 0 and 1, and {wrong:,} other cells: {examples}"
            )
            choices = (("slice", "it is no class but describes the photos"), ("stop", "its cells need correction"))
            if options.ask(Question(problem, choices, f"--slice {name}", path)) == "stop":
                raise SadclError(problem, where=path, fix="Correct the cells")
            slices.append(name)
    if len(slices) == len(columns):
        reason = "The header has no column 'labels', and no column holds 0 and 1 for a class"
        raise SadclError(
            reason, where=path, fix="Begin the file with the header file,labels, or add a column per class"
        )
    return slices


def _ignored_notes(classes: Sequence[str], cells: dict[str, Counter[str]]) -> list[str]:
    """Note on cells of -1: neither present nor absent."""
    ignored = {
        name: sum(n for cell, n in cells[name].items() if is_flag(cell) and flag(cell) is None) for name in classes
    }
    total = sum(ignored.values())
    names = ", ".join(f"{name} {count:,}" for name, count in ignored.items() if count)
    return [f"{total:,} cells of -1 are neither present nor absent: {names}"] if total else []
