"""Inference of the text between two labels in the cells of a column.

The evidence is whether the parts of a cell occur in other cells as well: ``scab, spot`` is two labels where ``scab``
and ``spot`` occur elsewhere, and ``hot dog`` is one where ``hot`` does not.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from sadcl.data.sources.cells import LISTS, is_list, split_labels
from sadcl.data.sources.text import short_repr
from sadcl.names import counted

USUAL = (";", "|", "\n")
"""Separators that no name of a class contains, the documented one first."""
POSSIBLE = (",", "#")
"""Separators that a name of a class may contain."""
RARE = ("/", "+", "&", ":", " - ", " and ", " ")
"""Marks that are part of names more often than they separate them."""
MANY = 3
"""Cells of several words that all share one with others: too many for chance."""
NAMES = {
    ";": "semicolon",
    "|": "pipe",
    "\n": "newline",
    ",": "comma",
    "#": "hash",
    " ": "space",
    "": "none",
    LISTS: "list",
}
"""Names of separators for the command line; other marks stand for themselves."""


@dataclass(frozen=True)
class Inference:
    """The separator of a column of labels.

    Attributes:
        choices: separators, the most plausible first; more than one if the cells leave it open.
        cells: filled cells that the first of them splits, and the number of filled cells.
    """

    choices: tuple[str, ...]
    cells: tuple[int, int]


@dataclass(frozen=True)
class _Evidence:
    """Cells that a separator splits: how many differ, and how many of these have parts that occur elsewhere."""

    several: int
    supported: int
    partly: int
    alone: float
    contradicted: bool


def infer_separator(cells: Mapping[str, int]) -> Inference:
    """Infer the separator from the distinct cells of a column and their numbers."""
    filled = {cell: count for cell, count in cells.items() if cell.strip()}
    choices = _choices(filled)
    split = sum(count for cell, count in filled.items() if len(parts(cell, choices[0])) > 1)
    return Inference(choices, (split, sum(filled.values())))


def contradiction(chosen: str, cells: Mapping[str, int]) -> str:
    """Sentence about a separator of the user's that the cells contradict; empty if they don't."""
    inferred = infer_separator(cells)
    if chosen in inferred.choices and (inferred.cells[0] or len(inferred.choices) > 1):
        return ""
    filled = {cell: count for cell, count in cells.items() if cell.strip()}
    word, best = NAMES.get(chosen, chosen), inferred.choices[0]
    total, split = counted(inferred.cells[1], "cell"), _split(filled, chosen)
    if len(inferred.choices) == 1 and inferred.cells[0] > split:
        would = f"{short_repr(best)} would split {inferred.cells[0]:,}"
        return f"--separator {word} splits {split:,} of {total}, and {would}"
    evidence = _evidence(filled, chosen)
    if evidence.several and not evidence.partly:
        return f"--separator {word} splits {split:,} of {total}, into labels that occur in no other cell"
    if not split and chosen not in ("", LISTS, USUAL[0]):
        return f"--separator {word} splits no cell"
    return ""


def parts(cell: str, separator: str) -> list[str]:
    """Labels in a cell, stripped, without empty ones."""
    return [part.strip() for part in split_labels(cell, separator) if part.strip()]


def _choices(cells: Mapping[str, int]) -> tuple[str, ...]:
    lists = sum(count for cell, count in cells.items() if is_list(cell))
    if lists:
        share = lists / sum(cells.values())
        return (LISTS,) if share > 0.9 else (LISTS, "") if share > 0.5 else ("", LISTS)
    for mark in USUAL:
        evidence = _evidence(cells, mark)
        if evidence.several:
            if rival := _rival(cells, mark):
                return (mark, rival) if _split(cells, mark) >= _split(cells, rival) else (rival, mark)
            return (mark, "") if evidence.contradicted else (mark,)
    for mark in POSSIBLE:
        evidence = _evidence(cells, mark)
        if evidence.several:
            if 2 * evidence.supported >= evidence.several:
                return (mark,)
            return (mark, "") if evidence.partly else ("", mark)
    for mark in RARE:
        evidence = _evidence(cells, mark)
        if evidence.several and evidence.supported >= 0.9 * evidence.several and evidence.alone >= 0.5:
            return (mark,)
        if mark == " " and evidence.partly and any("_" in cell for cell in cells):
            return (mark, "")  # names written as frog_eye leave the blank for something else
        if evidence.supported and 5 * evidence.supported >= evidence.several > 1:
            return ("", mark)
        if evidence.partly == evidence.several >= MANY:
            return ("", mark)
    return (USUAL[0],)


def _evidence(cells: Mapping[str, int], mark: str) -> _Evidence:
    by_cell = {cell: parts(cell, mark) for cell in cells}
    occurs = Counter(part for labels in by_cell.values() for part in set(labels))
    several = {cell: labels for cell, labels in by_cell.items() if len(labels) > 1}
    alone = {labels[0] for labels in by_cell.values() if len(labels) == 1}
    names = {part for labels in several.values() for part in labels}
    partly = sum(any(occurs[part] > 1 for part in labels) for labels in several.values())
    return _Evidence(
        len(several),
        sum(all(occurs[part] > 1 for part in labels) for labels in several.values()),
        partly,
        len(names & alone) / max(1, len(names)),
        not partly and len(alone) >= max(2, len(several)) and all(cells[cell] > 1 for cell in several),
    )


def _rival(cells: Mapping[str, int], mark: str) -> str:
    """Another separator that splits most of the names that are left into names that occur; empty if none does."""
    left = Counter({name: count for cell, count in cells.items() for name in parts(cell, mark)})
    for rival in (*USUAL, *POSSIBLE):
        evidence = _evidence(left, rival) if rival != mark else None
        if evidence and evidence.several > 1 and 2 * evidence.supported >= evidence.several:
            return rival
    return ""


def _split(cells: Mapping[str, int], mark: str) -> int:
    return sum(count for cell, count in cells.items() if len(parts(cell, mark)) > 1)
