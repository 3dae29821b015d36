"""What readers share: text by the line, and values in messages that stay short."""

import re
import reprlib
from collections.abc import Iterator
from pathlib import Path

from sadcl.errors import SadclError

_HALF = re.compile("[\ud800-\udfff]")
"""Halves of characters, which JSON can smuggle in and no file can hold."""
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 300


def text(path: Path, fix: str) -> str:
    """The text of a UTF-8 file, with or without a byte order mark.

    Raises:
        SadclError: it is missing, can't be read, or is no text in UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise SadclError("The file is missing", where=path, fix=fix) from None
    except UnicodeError as error:
        raise SadclError(f"The file is not text in UTF-8: {error}", where=path, fix=fix) from None
    except OSError as error:
        raise SadclError(f"The file can't be read: {error.strerror}", where=path, fix=fix) from None


def lines(path: Path, fix: str) -> Iterator[tuple[str, str]]:
    """Each line that is not blank, without the space around it, and where it stands (``FILE, line 3``).

    Raises:
        SadclError: as ``text``.
    """
    for number, line in enumerate(text(path, fix).split("\n"), start=1):
        if line.strip():
            yield f"{path}, line {number}", line.strip()


def shown(value: object) -> str:
    """A value as Python writes it, cut short where it is long, deep or wide."""
    return _SHORT.repr(value)


def is_text(value: str) -> bool:
    """Not blank, and made of whole characters."""
    return bool(value.strip()) and not _HALF.search(value)
