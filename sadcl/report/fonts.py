"""Fonts of pictures: matplotlib draws each letter in the first font that has it, and a box where none does."""

import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import matplotlib
from matplotlib import font_manager
from matplotlib.font_manager import FontEntry
from matplotlib.ft2font import FT2Font, LoadFlags

from sadcl import names

DEFAULT = "DejaVu Sans"
"""Comes with matplotlib, so that pictures of most texts are equal on every machine."""
UNSEEN = {"Zs", "Zl", "Zp", "Cc", "Cf", "Cs"}
"""Categories of characters that need no glyph: blanks, controls, joiners."""
LONGEST = 26
"""Most columns of a class's name in a plot."""


@contextmanager
def style(texts: Iterable[str], settings: Mapping[str, Any]) -> Iterator[None]:
    """Set matplotlib's settings for pictures with these texts: fonts of their scripts, dollars as they are.

    Inside, matplotlib does not warn of letters that no installed font has: a box shows each of them.
    """
    changed: Any = {**settings, "font.family": families("".join(texts)), "text.parse_math": False}
    with matplotlib.rc_context(changed), unwarned():
        yield


@contextmanager
def unwarned() -> Iterator[None]:
    """Silence matplotlib's warnings of letters that a font lacks."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        yield


def families(text: str) -> list[str]:
    """Families that draw a text together: ``DEFAULT`` first, then the fewest installed ones for what it lacks."""
    return _families(frozenset(text))


def short(name: str) -> str:
    """A class name, cut to ``LONGEST`` columns."""
    return names.shorten(name, lambda text: names.columns(text) <= LONGEST)


@cache
def _families(letters: frozenset[str]) -> list[str]:
    chosen = [DEFAULT]
    shipped = FT2Font(font_manager.findfont(DEFAULT))
    visible = (letter for letter in letters if unicodedata.category(letter) not in UNSEEN)
    missing = {letter for letter in visible if not _draws(shipped, letter)}
    if not missing:
        return chosen
    covered = {entry.name: found for entry in _installed() if (found := _covered(entry, missing))}
    while covered:
        # dictionaries keep their order, so ties go to the preferred one
        best = max(covered, key=lambda name: len(covered[name]))
        chosen.append(best)
        missing -= covered[best]
        covered = {name: left for name, found in covered.items() if (left := found & missing)}
    return chosen


def _installed() -> list[FontEntry]:
    """Installed upright fonts, one of each family: Noto and sans serif first, of medium weight."""

    def order(entry: FontEntry) -> tuple[Any, ...]:
        weight = entry.weight if isinstance(entry.weight, int) else 400
        name = entry.name.lower()
        return "noto" not in name, "sans" not in name, "mono" in name, abs(weight - 400), entry.name, entry.fname

    upright = [font for font in font_manager.fontManager.ttflist if font.style == "normal" and font.name[0] != "."]
    first: dict[str, FontEntry] = {}
    for entry in sorted(upright, key=order):
        # the last resort has a box for every letter: matplotlib takes it by itself
        if not entry.name.startswith("Last Resort"):
            first.setdefault(entry.name, entry)
    return list(first.values())


def _covered(entry: FontEntry, letters: set[str]) -> set[str]:
    try:
        font = FT2Font(entry.fname, face_index=entry.index)
        return {letter for letter in letters if _draws(font, letter)}
    except (OSError, RuntimeError):  # removed since matplotlib listed it, or damaged
        return set()


def _draws(font: FT2Font, letter: str) -> bool:
    """Whether a font has an outline for a letter; fonts of coloured pictures have empty ones."""
    index = font.get_char_index(ord(letter))
    if not index or not font.scalable:
        return False
    left, bottom, right, top = font.load_glyph(index, LoadFlags.NO_SCALE).bbox
    return bool(right > left or top > bottom)
