"""Names for file systems and people: portable file names, the shortest paths that differ, shortened texts."""

import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path

MAX_BYTES = 80
"""Most bytes of a portable name: two of them, a number and a suffix stay below the 255 of a file system."""
RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))}
"""Devices in Windows, which no file may be named after, whatever its suffix."""
ELLIPSIS, JOINER = "…", "\u200d"


def portable(text: str) -> str:
    """Derive a file name that every file system takes.

    Letters, marks, digits and pictographs of all scripts stay, other characters become underscores. A long name is cut
    and ends in a digest of the whole text.
    """
    letters = (letter if _is_portable(letter) else "\0" for letter in unicodedata.normalize("NFC", text))
    name = re.sub("^[.]|\0+", "_", "".join(letters)) or "_"
    if name.partition(".")[0].lower() in RESERVED:
        name = f"_{name}"
    encoded = name.encode()
    if len(encoded) <= MAX_BYTES:
        return name
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{encoded[: MAX_BYTES - 9].decode(errors='ignore')}-{digest}"


def distinct(names: Sequence[str], is_taken: Callable[[int, str], bool] = lambda place, name: False) -> list[str]:
    """Number names that are equal to an earlier one, or would be on a file system that ignores case and accents' form.

    Args:
        names: file names without suffix.
        is_taken: whether the name with this place in the list must not be used.
    """
    used: set[str] = set()
    result = []
    for place, name in enumerate(names):
        candidate, number = name, 1
        while _folded(candidate) in used or is_taken(place, candidate):
            number += 1
            candidate = f"{name}-{number}"
        used.add(_folded(candidate))
        result.append(candidate)
    return result


def distinguish(paths: Sequence[Path]) -> list[str]:
    """Shorten each path to its last parts, as few as no other path ends in; equal paths have equal results."""
    ends = {}
    for path in paths:
        # not resolved: people know a file by the link that they name
        parts = Path(os.path.abspath(path)).parts
        ends[path] = list(accumulate(reversed(parts), lambda end, part: os.path.join(part, end)))
    # the last one is the whole path
    count = Counter(end for chain in {chain[-1]: chain for chain in ends.values()}.values() for end in chain)
    return [next(end for end in ends[path] if count[end] == 1) for path in paths]


def shorten(text: str, fits: Callable[[str], bool]) -> str:
    """Cut a text to the longest start that fits, with an ellipsis; white space becomes single blanks.

    Args:
        text: a name in any script; no letter is separated from its marks.
        fits: whether a text fits; if one does, every shorter start does too.
    """
    text = " ".join(text.split())
    if fits(text):
        return text
    low, high = 0, len(text) - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(text[:middle] + ELLIPSIS) else (low, middle - 1)
    while low and (_joins(text[low]) or text[low - 1] == JOINER):
        low -= 1
    return text[:low] + ELLIPSIS


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun: ``1 photo``, ``1,200 photos``.

    Args:
        number: of things.
        noun: for one of them.
        plural: for several; by default the noun with an s.
    """
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def columns(text: str) -> int:
    """Columns that a text takes in a terminal or a table: East Asian letters and pictographs are twice as wide."""
    widths = (2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text if not _joins(letter))
    return sum(widths)


def _is_portable(letter: str) -> bool:
    category = unicodedata.category(letter)
    return category[0] in "LMN" or category == "So" or letter in "._-"


def _joins(letter: str) -> bool:
    """Whether a character changes the one before it: marks, variation selectors, joiners."""
    return unicodedata.category(letter)[0] == "M" or letter == JOINER


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
