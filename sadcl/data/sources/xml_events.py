"""XML from untrusted files, read as a stream of elements: entities are refused, depth and size are bounded."""

import xml.etree.ElementTree as ElementTree
from contextlib import suppress
from pathlib import Path

from sadcl.errors import SadclError

LARGEST = 2_000_000_000
"""Bytes of a file; nothing of it is kept but what the handler keeps."""
_DEEPEST = 100
_CHUNK = 1 << 16


class Handler:
    """Target of a parser; override ``opened`` and ``closed``.

    Attributes:
        parents: names of the open elements, outermost first.
    """

    def __init__(self, path: Path, fix: str) -> None:
        self.path, self.fix = path, fix
        self.parents: list[str] = []
        self._text: list[str] = []

    def opened(self, name: str, attributes: dict[str, str]) -> None:
        """An element begins; ``parents`` ends with the element around it."""

    def closed(self, name: str, text: str) -> None:
        """An element ends; ``parents`` ends with the element around it, ``text`` follows its last inner element."""

    def refuse(self, problem: str) -> SadclError:
        """Error about the handler's file, to be raised."""
        return SadclError(problem, where=self.path, fix=self.fix)

    def doctype(self, *_: object) -> None:
        # without a document type there are no entities, which can expand without end or read other files
        raise self.refuse("The file has a document type; an export of labels has none")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self.parents) == _DEEPEST:
            raise self.refuse(f"The file is nested more than {_DEEPEST} levels deep")
        self.opened(name, attributes)
        self.parents.append(name)
        self._text.clear()

    def data(self, text: str) -> None:
        self._text.append(text)

    def end(self, name: str) -> None:
        self.parents.pop()
        self.closed(name, "".join(self._text).strip())
        self._text.clear()

    def close(self) -> None:
        """The file ends; the parser needs this method."""


def parse(handler: Handler) -> None:
    """Parse the handler's file.

    Raises:
        SadclError: the file is missing, too large, not XML, too deep, or declares a document type.
    """
    path, fix = handler.path, handler.fix
    parser = ElementTree.XMLParser(target=handler)
    try:
        with open(path, "rb") as file:
            size = 0
            while chunk := file.read(_CHUNK):
                size += len(chunk)
                if size > LARGEST:
                    raise SadclError(f"The file has more than {LARGEST / 1e9:.0f} GB", where=path, fix=fix)
                parser.feed(chunk)
        parser.close()
    except FileNotFoundError:
        raise SadclError("The file is missing", where=path, fix=fix) from None
    except OSError as error:
        raise SadclError(f"The file can't be read: {error.strerror}", where=path, fix=fix) from None
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # ValueError, LookupError: unknown encodings
        raise SadclError(f"The file is not XML: {error}", where=path, fix=fix) from None


def head(path: Path, size: int = 4096) -> list[str]:
    """Names of the elements in a file's first bytes, up to any damage; empty if they are no XML."""
    names = _Names(path, "")
    parser = ElementTree.XMLParser(target=names)
    with suppress(OSError, ElementTree.ParseError, ValueError, LookupError, SadclError), open(path, "rb") as file:
        parser.feed(file.read(size))
    return names.names


class _Names(Handler):
    def __init__(self, path: Path, fix: str) -> None:
        super().__init__(path, fix)
        self.names: list[str] = []

    def opened(self, name: str, attributes: dict[str, str]) -> None:  # noqa: ARG002
        self.names.append(name)
