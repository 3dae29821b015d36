"""Columns of the user's tables: the one of labels, and which others are classes."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from sadcl.data.onboarding.label_columns import ask_for_labels, choose_labels, label_groups
from sadcl.data.onboarding.questions import Options, Question
from sadcl.data.sources.cells import are_codes, is_flag
from sadcl.data.sources.columns import LABELS, find_columns, normal
from sadcl.data.sources.rows import COMPUTED_COLUMNS, scalar_text
from sadcl.data.sources.text import short_repr
from sadcl.errors import SadclError

WRONG = 0.2
"""Largest part of a column's cells that may be no flags, for a class with a few wrong cells."""
CLEAR = 0.8
"""Smallest part of a column's cells that are no flags, for a column that is no class."""


def decide_columns(
    names: Sequence[str], sample: list[dict[str, Any]], path: Path, options: Options
) -> tuple[dict[str, Any], list[str]]:
    """Settings `labels` and `slices` of `ingest` for a table, and notes for the preview.

    Args:
        names: of its columns.
        sample: some of its rows.
        path: the table.
        options: what the user has decided, and who answers the rest.

    Raises:
        SadclError: the user names a column that is not there, or a question stays open.
    """
    refuse_unknown(names, path, options)
    slices = list(options.slices)
    if options.labels:
        return {**label_setting(options.labels), **slice_setting(slices)}, []
    file = find_columns(names, sample, slices).file
    left = [name for name in names if name not in (*slices, file)]
    groups = label_groups(left, sample)
    grouped = [name for group in groups for name in group]
    flags = [name for name in left if name not in grouped and is_class(name, sample)]
    if groups:
        chosen, notes = choose_labels(groups, left, flags, sample, path, options)
        if chosen is None:
            return {"slices": [*slices, *grouped]}, notes
        return {**label_setting(chosen), **slice_setting(slices)}, notes
    if not flags and file:
        return {**label_setting(ask_for_labels(left, sample, path, options)), **slice_setting(slices)}, []
    return slice_setting(slices), []


def label_setting(columns: Sequence[str]) -> dict[str, Any]:
    """Setting `labels` of `ingest` for columns of labels; nothing where there is none to name."""
    return {"labels": columns[0] if len(columns) == 1 else list(columns)} if columns else {}


def slice_setting(columns: Sequence[str]) -> dict[str, Any]:
    """Setting `slices` of `ingest` for columns that are neither classes nor labels; nothing where there is none."""
    return {"slices": list(columns)} if columns else {}


def refuse_unknown(names: Sequence[str], path: Path, options: Options) -> None:
    """Refuse columns of the command line that a table does not have.

    Raises:
        SadclError: the user names a column that is not there.
    """
    named = [("--labels", name) for name in options.labels] + [("--slice", name) for name in options.slices]
    for option, column in named:
        if column not in names:
            listed = ", ".join(names[:10])
            raise SadclError(
                f"There is no column {short_repr(column)}", where=path, fix=f"{option} takes one of {listed}"
            )


def is_class(name: str, sample: Sequence[dict[str, Any]]) -> bool:
    """Whether the cells of a column say that a class is present or absent."""
    cells = {scalar_text(record[name]) or "" for record in sample} - {""}
    return bool(cells) and all(map(is_flag, cells)) and not are_codes(cells) and name not in COMPUTED_COLUMNS


def no_classes(columns: Sequence[str], cells: dict[str, Counter[str]], path: Path, options: Options) -> list[str]:
    """Columns of a table with one column per class that are no classes.

    A column with a few wrong cells still counts as a class; its reader reports the first of them.

    Raises:
        SadclError: a column has a usual name of labels, none is a class, or a question stays open.
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
        elif wrong > WRONG * filled and normal(name) in LABELS:
            problem = f"The column {short_repr(name)} may hold the labels, or describe the photos"
            raise SadclError(problem, where=path, fix=f"Decide with --labels {quote(name)} or --slice {quote(name)}")
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
        fix = "Begin the file with the header file,labels, add a column per class, or name the labels with --labels"
        raise SadclError(reason, where=path, fix=fix)
    return slices


def _are_scores(cells: Counter[str]) -> bool:
    """Whether all cells are numbers from 0 to 1, as the probabilities of a model are."""
    try:
        return all(0 <= float(cell.replace(",", ".")) <= 1 for cell in cells)
    except ValueError:
        return False
