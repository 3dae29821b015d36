"""UTF-8 text files, whole or line by line, and short forms of values for error messages."""

import re
import reprlib
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from sadcl.errors import SadclError

_ADDRESS = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+://[^/?#]*([^?#]*)", re.DOTALL)
"""A URL with a host; the group is its path."""
_ROOTED = re.compile(r"^(?:[A-Za-z]:)?/+(?:\./)*(.*)", re.DOTALL)
"""An absolute path; the group is what follows its root."""
_SURROGATE = re.compile("[\ud800-\udfff]")
"""Lone surrogates: JSON escapes can produce them, and UTF-8 can't encode them."""
_JOINER = re.compile(r"(?<!\\)((?:\\\\)*)\\u200([cd])")
"""Escape of a character that joins letters or pictographs, which ``repr`` takes for unprintable."""
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 300


def read_text(path: Path, fix: str) -> str:
    """Read a UTF-8 file, with or without a byte order mark.

    Raises:
        SadclError: the file is missing, can't be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise SadclError("The file is missing", where=path, fix=fix) from None
    except UnicodeError as error:
        raise SadclError(f"The file is not UTF-8 text: {error}", where=path, fix=fix) from None
    except OSError as error:
        raise SadclError(f"The file can't be read: {error.strerror}", where=path, fix=fix) from None


def read_lines(path: Path, fix: str) -> Iterator[tuple[str, str]]:
    """Yield the position (``FILE, line 3``) and the stripped text of each line that is not blank.

    Raises:
        SadclError: the file is missing, can't be read, or is not UTF-8.
    """
    for number, line in enumerate(read_text(path, fix).split("\n"), start=1):
        if line.strip():
            yield f"{path}, line {number}", line.strip()


def short_repr(value: object) -> str:
    """``repr`` of a value, shortened where it is long, deep or wide: letters of all scripts stay readable."""
    return _JOINER.sub(lambda match: match[1] + chr(0x200C + "cd".index(match[2])), _SHORT.repr(value))


def listed_name(text: str) -> str:
    """Path of a listed photo without what holds on one computer only: scheme, host, drive and leading slashes.

    ``C:\\photos\\1.jpg`` becomes ``photos/1.jpg``, and ``https://host/a%20b/1.jpg?x=1`` becomes ``a b/1.jpg``. Relative
    paths are kept as they are.
    """
    plain = text.replace("\\", "/")
    address = _ADDRESS.match(plain)
    if address:
        plain = unquote(address[1])
    absolute = _ROOTED.match(plain)
    return absolute[1] if absolute else plain


def normal_name(text: str) -> str:
    """Text in the Unicode normal form NFC, in which the names of macOS and those of other systems are equal."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def is_valid_text(value: str) -> bool:
    """Whether text is not blank and can be encoded in UTF-8."""
    return bool(value.strip()) and not _SURROGATE.search(value)
