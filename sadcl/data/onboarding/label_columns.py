"""The columns of labels in the user's tables: one, several that belong together, or a question which."""

import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sadcl.data.onboarding.questions import Options, Question
from sadcl.data.sources.columns import LABELS, label_columns, label_series, normal, numbered
from sadcl.data.sources.rows import COMPUTED_COLUMNS, scalar_text
from sadcl.data.sources.text import short_repr

MOST_LABELS = 0.5
"""Largest number of different cells, for the rows, of a column that may hold labels."""
REPEATED = 0.2
"""Smallest part of the rows with one label twice, for columns that may be of several annotators."""
SHARED = 0.5
"""Smallest part of a column's cells that are labels elsewhere, for a column that may hold labels too."""
NAMED = 10
"""Most columns that a sentence names."""

Group = tuple[str, ...]
"""Columns that hold the labels of a photo together."""
Sample = Sequence[dict[str, Any]]


def label_groups(names: Sequence[str], sample: Sample) -> list[Group]:
    """Columns that may hold the labels by their names, the most usual name first."""
    series = label_series(names, sample)
    joined = {name for group in series for name in group}
    single = [(name,) for name in label_columns(names, sample) if name not in joined]
    rank = {stem: i for i, stem in enumerate(LABELS)}
    exact = [group for group in single if group == ("labels",)]
    rest = [group for group in (*single, *series) if group not in exact]
    return [*exact, *sorted(rest, key=lambda group: min(rank.get(normal(name), len(rank)) for name in group))]


def choose_labels(
    groups: list[Group], left: Sequence[str], flags: Sequence[str], sample: Sample, path: Path, options: Options
) -> tuple[Group | None, list[str]]:
    """The columns of labels among those with a usual name, and notes for the preview.

    Args:
        groups: from ``label_groups``, at least one.
        left: all columns that may be labels or classes.
        flags: columns that say whether a class is present.
        sample: some of the rows.
        path: the table.
        options: who answers a doubt.

    Returns:
        The columns, none for the documented name, or None where each class has a column.

    Raises:
        SadclError: a question stays open.
    """
    first = groups[0]
    every = tuple(dict.fromkeys(name for group in groups for name in group))
    if first == ("labels",):
        more = [name for name in every if name != "labels"]
        option = f"{_option(('labels', *more))} reads the labels of all"
        return (), [f"{_listed(more)} describe{'s' if len(more) == 1 else ''} the photos; {option}"] if more else []
    choices: list[tuple[Group | None, str]]
    if len(flags) > 1:
        listed = f"{', '.join(flags[:4])}{', ...' if len(flags) > 4 else ''}"
        problem = f"Labels may be in {_columns(first)}, or in one column per class"
        choices = [(None, f"one class per column: {listed}"), (first, f"the labels are in {_listed(first)}")]
        slices = " ".join(f"--slice {shlex.quote(name)}" for name in every)
        return _ask(problem, choices, f"{slices} or {_option(first)}", path, options), []
    groups = [*groups, *([] if len(groups) > 1 else _related(first, left, sample))]
    if len(groups) > 1:
        every = tuple(dict.fromkeys(name for group in groups for name in group))
        problem = f"Labels may be in {_columns(every, ' or ')}"
        choices = [(group, f"the labels are in {_listed(group)}") for group in groups]
        choices.append((every, "each of them holds labels of the photo"))
        return _ask(problem, choices, _either([*groups, every]), path, options), []
    if len(first) == 1:
        return first, []
    if _repeats(first, sample):
        problem = f"Many rows have one label twice in {_columns(first)}, as if several people had labelled the photos"
        choices = [(first, "each of them holds labels of the photo")]
        choices += [((name,), f"the labels are in {short_repr(name)}") for name in first]
        return _ask(problem, choices, _either([first, *((name,) for name in first)]), path, options), []
    return first, [f"The labels of a photo are joined from {_columns(first)}"]


def ask_for_labels(names: Sequence[str], sample: Sample, path: Path, options: Options) -> Group:
    """Ask for the columns of labels where no usual name says it; none where no column could be one.

    Raises:
        SadclError: the question stays open.
    """
    columns = possible_labels(names, sample)
    if not columns:
        return ()
    together = [group for group in numbered(columns).values() if len(group) > 1]
    if not together and len(worded := tuple(name for name in columns if _is_worded(name))) > 1:
        together = [worded]
    cells = {name: list(dict.fromkeys(scalar_text(record[name]) or "" for record in sample))[:3] for name in columns}
    choices: list[tuple[Group | None, str]]
    choices = [(group, f"{_listed(group)}, each of which holds labels of the photo") for group in together]
    choices += [((name,), f"{short_repr(name)}, such as {', '.join(map(short_repr, cells[name]))}") for name in columns]
    groups = [group for group, _ in choices if group]
    return _ask("No column has a usual name of labels", choices, _either(groups), path, options) or ()


def possible_labels(names: Sequence[str], sample: Sample) -> list[str]:
    """Columns of text that repeats, as labels do."""
    columns = []
    for name in names:
        cells = _cells(name, sample)
        text = [cell for cell in cells if not cell.replace(".", "").replace("-", "").isdigit()]
        if text and len(set(cells)) <= max(2, MOST_LABELS * len(cells)) and name not in COMPUTED_COLUMNS:
            columns.append(name)
    return columns


def _ask(
    problem: str, choices: Sequence[tuple[Group | None, str]], option: str, path: Path, options: Options
) -> Group | None:
    numbers = tuple((str(number), text) for number, (_, text) in enumerate(choices))
    return choices[int(options.ask(Question(problem, numbers, option, path)))][0]


def _related(group: Group, left: Sequence[str], sample: Sample) -> list[Group]:
    """Further columns with a word for labels in their names, and cells that are labels in the group as well."""
    known = {part for name in group for cell in _cells(name, sample) for part in (cell, *_parts(cell))}
    return [
        (name,)
        for name in left
        if name not in group
        and _is_worded(name)
        and (cells := set(_cells(name, sample)))
        and sum(bool(known & {cell, *_parts(cell)}) for cell in cells) >= SHARED * len(cells)
    ]


def _is_worded(name: str) -> bool:
    """Whether a word for labels is part of a name: ``secondary_label``, ``Other tags``."""
    return not set(re.split(r"[\W_]+", normal(name))).isdisjoint(LABELS)


def _repeats(group: Group, sample: Sample) -> bool:
    """Whether many rows have one label in several of the columns."""
    rows = [[cell for name in group if (cell := scalar_text(record[name]))] for record in sample]
    several = [cells for cells in rows if len(cells) > 1]
    return sum(len(set(cells)) < len(cells) for cells in several) > REPEATED * len(several)


def _cells(name: str, sample: Sample) -> list[str]:
    return [cell for record in sample if (cell := scalar_text(record[name]))]


def _parts(cell: str) -> list[str]:
    return [part.strip() for part in re.split(r"[;,|]", cell) if part.strip()]


def _option(group: Iterable[str]) -> str:
    return " ".join(f"--labels {shlex.quote(name)}" for name in group)


def _either(groups: Sequence[Group]) -> str:
    return " or ".join(map(_option, groups[:NAMED]))


def _columns(names: Sequence[str], last: str = " and ") -> str:
    return f"the column{'' if len(names) == 1 else 's'} {_listed(names, last)}"


def _listed(names: Sequence[str], last: str = " and ") -> str:
    if len(names) > NAMED:
        return f"{', '.join(map(short_repr, names[:NAMED]))} and {len(names) - NAMED:,} more"
    shown = list(map(short_repr, names))
    return last.join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
