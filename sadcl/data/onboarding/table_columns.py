"""Columns of the user's tables: the one of labels, and which others are classes."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sadcl.data.onboarding.questions import Options, Question
from sadcl.data.sources.cells import are_codes, is_flag
from sadcl.data.sources.columns import find_columns, label_columns
from sadcl.data.sources.rows import COMPUTED_COLUMNS, scalar_text
from sadcl.data.sources.text import short_repr
from sadcl.errors import SadclError

WRONG = 0.2
"""Largest part of a column's cells that may be no flags, for a class with a few wrong cells."""
CLEAR = 0.8
"""Smallest part of a column's cells that are no flags, for a column that is no class."""
MOST_LABELS = 0.5
"""Largest number of different cells, for the rows, of a column that may hold labels."""


def decide_columns(names: Sequence[str], sample: list[dict[str, Any]], path: Path, options: Options) -> dict[str, Any]:
    """Settings `labels` and `slices` of `ingest` for a table.

    Args:
        names: of its columns.
        sample: its first rows.
        path: the table.
        options: what the user has decided, and who answers the rest.

    Raises:
        SadclError: the user names a column that is not there, or a question stays open.
    """
    for option, column in (("--labels", options.labels), *(("--slice", name) for name in options.slices)):
        if column and column not in names:
            listed = ", ".join(names[:10])
            raise SadclError(f"There is no column {column!r}", where=path, fix=f"{option} takes one of {listed}")
    slices = list(options.slices)
    slice_settings: dict[str, Any] = {"slices": slices} if slices else {}
    if options.labels:
        return {"labels": options.labels, **slice_settings}
    file = find_columns(names, sample, slices).file
    left = [name for name in names if name not in (*slices, file)]
    columns = label_columns(left, sample)
    flags = [name for name in left if name not in columns and is_class(name, sample)]
    if not columns and not flags and file:
        return {**_ask_for_labels(left, sample, path, options), **slice_settings}
    if not columns or columns[0] == "labels":
        return slice_settings
    if len(flags) > 1:
        listed = f"{', '.join(flags[:4])}{', ...' if len(flags) > 4 else ''}"
        problem = f"Labels may be in the column {short_repr(columns[0])}, or in one column per class"
        choices = [("", f"one class per column: {listed}"), (columns[0], f"the labels are in {short_repr(columns[0])}")]
        option = f"--slice {columns[0]} or --labels {columns[0]}"
    elif len(columns) > 1:
        problem = f"Labels may be in the columns {' or '.join(map(short_repr, columns))}"
        choices = [(name, f"the labels are in {short_repr(name)}") for name in columns]
        option = f"--labels {columns[0]} or --labels {columns[1]}"
    else:
        return slice_settings
    chosen = options.ask(Question(problem, tuple(choices), option, path))
    return {**slice_settings, "labels": chosen} if chosen else {"slices": [*slices, *columns]}


def is_class(name: str, sample: Sequence[dict[str, Any]]) -> bool:
    """Whether the first cells of a column say that a class is present or absent."""
    cells = {scalar_text(record[name]) or "" for record in sample} - {""}
    return bool(cells) and all(map(is_flag, cells)) and not are_codes(cells) and name not in COMPUTED_COLUMNS


def possible_labels(names: Sequence[str], sample: Sequence[dict[str, Any]]) -> list[str]:
    """Columns of text that repeats, as labels do."""
    columns = []
    for name in names:
        cells = [cell for record in sample if (cell := scalar_text(record[name]))]
        text = [cell for cell in cells if not cell.replace(".", "").replace("-", "").isdigit()]
        if text and len(set(cells)) <= max(2, MOST_LABELS * len(cells)) and name not in COMPUTED_COLUMNS:
            columns.append(name)
    return columns


def _ask_for_labels(
    names: Sequence[str], sample: Sequence[dict[str, Any]], path: Path, options: Options
) -> dict[str, Any]:
    """Ask for the column of labels where no name says it; nothing where no column could be one."""
    columns = possible_labels(names, sample)
    if not columns:
        return {}
    cells = {name: list(dict.fromkeys(scalar_text(record[name]) or "" for record in sample))[:3] for name in columns}
    choices = tuple(
        (name, f"{short_repr(name)}, such as {', '.join(map(short_repr, cells[name]))}") for name in columns
    )
    problem = "No column has a usual name of labels"
    return {"labels": options.ask(Question(problem, choices, f"--labels {columns[0]}", path))}


def no_classes(columns: Sequence[str], cells: dict[str, Counter[str]], path: Path, options: Options) -> list[str]:
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
        elif wrong > CLEAR * filled and not _are_scores(cells[name]):
            slices.append(name)
        elif wrong > WRONG * filled:
            examples = ", ".join([short_repr(cell) for cell in cells[name] if not is_flag(cell)][:3])
            problem = f"The column {short_repr(name)} may be a class, but {wrong:,} cells are not 0 or 1: {examples}"
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


def _are_scores(cells: Counter[str]) -> bool:
    """Whether all cells are numbers from 0 to 1, as the probabilities of a model are."""
    try:
        return all(0 <= float(cell.replace(",", ".")) <= 1 for cell in cells)
    except ValueError:
        return False
