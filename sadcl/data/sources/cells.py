"""Cells of tables in the forms of spreadsheets, pandas and Python: flags of a class, and lists of labels."""

import json
import re
from ast import literal_eval
from collections.abc import Collection, Iterator
from functools import lru_cache
from typing import Any

from sadcl.data.sources.text import short_repr
from sadcl.errors import SadclError

LISTS = "[]"
"""Value of ``ingest.separator`` for cells that hold lists: ``["a", "b"]``, ``['a', 'b']``, ``['a' 'b']``, ``{a,b}``."""
PRESENT = frozenset(
    (
        "true", "wahr", "vrai", "verdadero", "verdadeiro", "vero", "waar", "yes", "ja", "oui", "si", "sí", "sim", "sì",
        "present", "y", "j", "o", "s", "t", "v", "x", "✓", "✔", "✔️", "☑", "✅", "●", "•",
    )
)  # fmt: skip
"""Words for a class that is present, in lower case."""
ABSENT = frozenset(
    (
        "", "false", "falsch", "faux", "falso", "onwaar", "no", "nein", "non", "nee", "não", "absent", "n", "f",
        "nan", "null", "none", "<na>", "na", "n/a", "-", "–", "✗", "✘", "☐", "❌",
    )
)  # fmt: skip
"""Words for a class that is absent, in lower case; a cell without a value counts as absent."""
_LETTERS = tuple(frozenset(pair) for pair in ("x", "yn", "jn", "on", "sn", "tf", "vf"))
"""Single letters that mean yes and no together; other combinations are codes of something else."""
_NUMBER = re.compile(r"[+-]?\d{1,20}(?:[.,]\d{0,20})?(?:e[+-]?\d{1,3})?")
_LIST = re.compile(r"\s*+(?:array|set|frozenset|tuple|list)?\s*+(\(\s*+)?[\[({].*[\])}]\s*+\)?\s*+", re.DOTALL)
"""A list; its quantifiers give no blanks back, which would take time with the square of their number."""
_QUOTED = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
_INNER = re.compile(rf"[\[({{]+((?:{_QUOTED}|[^\])}}])*)", re.DOTALL)
_ITEM = re.compile(rf"(?<![^\s,;|])[bu]?({_QUOTED})(?=[\s,;|]|\Z)", re.DOTALL)
"""An item in quotes, from a separator to the next: the apostrophe of ``baker's`` begins none."""
_NUMPY = re.compile(rf"\bnp\.str_\(({_QUOTED})\)", re.DOTALL)
_WHOLE = re.compile(r"\d+\.0+")
_NOTHING = frozenset(("nan", "none", "null", "<na>"))
FLAGS = {1.0: True, 0.0: False, -1.0: None}
"""Numbers in the column of a class: present (True), absent (False), neither (None)."""


class NoFlagError(ValueError):
    """A cell says neither that a class is present nor that it is absent."""


@lru_cache(100_000)
def flag(cell: str) -> bool | None:
    """State of a class from its cell: present, absent, or neither (-1). Numbers are compared as numbers.

    Raises:
        NoFlagError: the cell has another value.
    """
    word = cell.strip().lower()
    if word in ABSENT or word in PRESENT:
        return word in PRESENT
    if not _NUMBER.fullmatch(word) or (number := float(word.replace(",", "."))) not in FLAGS:
        raise NoFlagError(cell)
    return FLAGS[number]


def is_flag(cell: str) -> bool:
    """Whether a cell says that a class is present, absent or neither."""
    try:
        flag(cell)
    except NoFlagError:
        return False
    return True


def are_codes(cells: Collection[str]) -> bool:
    """Whether cells are single letters that are no marks for yes and no: ``x`` and ``y``, or ``f`` and ``m``."""
    letters = {cell.lower() for cell in cells if cell}
    alone = bool(letters) and all(len(letter) == 1 and letter.isalpha() for letter in letters)
    return alone and not any(letters <= pair for pair in _LETTERS)


def is_list(cell: str) -> bool:
    """Whether a cell holds a list, set, tuple or array as JSON, Python or numpy write it."""
    return bool(_LIST.fullmatch(cell))


def split_labels(cell: str, separator: str) -> list[str]:
    """Labels in a cell; none in one that pandas wrote for a missing value.

    Args:
        cell: text.
        separator: between two labels; empty for one label a cell, ``[]`` for lists.

    Raises:
        SadclError: a dictionary gives a label a value that is no flag.
    """
    if cell.strip() in ("nan", "NaN", "<NA>"):
        return []
    if separator == LISTS and is_list(cell):
        return _items(cell)
    if separator in ("", LISTS):
        return [_clean(cell)]
    if separator.isspace():
        return cell.splitlines() if "\n" in separator else cell.split()
    return [_clean(part) for part in cell.split(separator)]


def _clean(label: str) -> str:
    """A label without quotes around it, and a whole number without the decimals that pandas adds (``3.0``)."""
    plain = label.strip()
    if len(plain) > 2 and plain[0] == plain[-1] and plain[0] in "'\"":
        plain = plain[1:-1].strip()
    return plain.partition(".")[0] if _WHOLE.fullmatch(plain) else plain


def _items(cell: str) -> list[str]:
    cell = _NUMPY.sub(r"\1", cell)
    value = _parsed(cell)
    if isinstance(value, dict):  # a flag for each label
        return [str(name) for name, state in value.items() if _is_present(state)]
    if isinstance(value, list) and all(isinstance(item, str | int | float) or item is None for item in value):
        return [str(item) for item in value if item is not None and item == item]
    inner = _INNER.search(cell)
    parts = list(_split_at_commas(inner[1] if inner else ""))
    if len(parts) == 1 and all(_is_number(word) for word in parts[0].split()):
        return parts[0].split()
    items: list[str] = []
    for part in parts:
        quoted, others = [item[1] for item in _ITEM.finditer(part)], _ITEM.sub("", part).lower().split()
        if _ITEM.match(part) or _NOTHING.issuperset(others):  # numpy writes no commas: ['a' None 'b']
            items += map(_unquoted, quoted)
        else:  # rock 'n' roll
            items.append(part)
    return items


def _split_at_commas(text: str) -> Iterator[str]:
    """Parts of a text between commas that are not in quotes, without blanks around them."""
    start = 0
    for comma in re.finditer(",", _ITEM.sub(lambda item: "-" * len(item[0]), text) + ","):
        yield text[start : comma.start()].strip()
        start = comma.end()


def _is_present(state: Any) -> bool:
    """Whether the value of a label in a dictionary says that it is present; -1, neither, is not.

    Raises:
        SadclError: the value is no flag.
    """
    try:
        return flag("" if state is None or state != state else str(state)) is True
    except NoFlagError:
        problem = f"A label has the value {short_repr(state)}, which says neither yes nor no"
        raise SadclError(problem, fix="Use 1, 0 or -1 for each label") from None


def _parsed(cell: str) -> Any:
    """Value of JSON, or of a dictionary as Python writes it; None for other text."""
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        pass
    try:
        return literal_eval(cell.strip()) if cell.lstrip().startswith("{") and ":" in cell else None
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _unquoted(text: str) -> str:
    try:
        value = literal_eval(text)
    except (ValueError, SyntaxError):
        return text[1:-1]
    return value if isinstance(value, str) else text[1:-1]


def _is_number(word: str) -> bool:
    return bool(re.fullmatch(r"[+-]?\d+\.?\d*", word))
