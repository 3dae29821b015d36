"""Table of all classes in groups by name: usable with thousands of classes, in pages whose policy forbids scripts."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil

GROUP = 100
"""Most classes in one group."""
DIGITS = 12
"""Digits of a number in a sort key."""


@dataclass(frozen=True)
class ClassRow:
    """A class and its figures as text, in the order of the columns."""

    name: str
    figures: tuple[str, ...]


@dataclass(frozen=True)
class ClassGroup:
    """Consecutive rows of the table; ``first`` and ``last`` are their numbers among all rows, from 1."""

    first: int
    rows: Sequence[ClassRow]

    @property
    def last(self) -> int:
        return self.first + len(self.rows) - 1


def group_by_name(rows: Sequence[ClassRow]) -> list[ClassGroup]:
    """Split rows, sorted by name, into as few groups of nearly equal size as hold them at ``GROUP`` each."""
    ordered = sorted(rows, key=lambda row: (_sort_key(row.name), row.name))
    count = ceil(len(ordered) / GROUP)
    ends = [len(ordered) * i // max(count, 1) for i in range(count + 1)]
    return [ClassGroup(start + 1, ordered[start:end]) for start, end in pairwise(ends)]


def _sort_key(name: str) -> str:
    """Key for the order of an index: case and accents aside, class 9 before class 10."""
    letters = unicodedata.normalize("NFKD", " ".join(name.split()))
    folded = "".join(letter for letter in letters if not unicodedata.combining(letter)).casefold()
    return re.sub("[0-9]+", lambda number: number[0].zfill(DIGITS), folded)
