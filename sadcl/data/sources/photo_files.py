"""Photos below a folder."""

import os
from collections.abc import Iterator
from pathlib import Path

from sadcl.data.sources import inside
from sadcl.data.sources.safe_yaml import there
from sadcl.errors import SadclError

SUFFIXES = frozenset(
    (
        ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".ppm",
        ".pgm", ".pbm", ".pnm", ".pfm", ".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c", ".avif", ".avifs",
    )
)  # fmt: skip
"""How names of photos end, in small letters."""


def photos(root: Path, folder: str) -> list[str]:
    """All photos in a folder and below it, relative to ``root``, in order; hidden ones are left out.

    Links to folders are followed.

    Raises:
        SadclError: there is no such folder, a link leads back to one on its way, or the name of a photo is no text.
    """
    plain = folder.strip("/")
    start = "" if plain in ("", ".") else inside("", plain, "ingest.images")
    if not there(root / start):
        raise SadclError("The folder of photos is missing", where=root / start, fix="Check ingest.images")
    found = sorted(_below(root, start))
    for name in found:
        try:
            name.encode()
        except UnicodeEncodeError:
            shown = os.fsencode(name).decode("utf-8", "backslashreplace")
            raise SadclError(f"The name {shown} is not in UTF-8", where=root, fix="Rename the photo") from None
    return found


def _below(root: Path, start: str) -> Iterator[str]:
    waiting: list[tuple[str, tuple[str, ...]]] = [(start, ())]
    while waiting:
        folder, above = waiting.pop()
        try:
            real = os.path.realpath(root / folder)
            if real in above:
                raise SadclError("The folder leads back to itself", where=root / folder, fix="Take the link away")
            with os.scandir(root / folder) as entries:
                for entry in entries:
                    name = f"{folder}/{entry.name}" if folder else entry.name
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir():
                        waiting.append((name, (*above, real)))
                    elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:
                        yield name
        except OSError as error:
            words = f"The folder can't be read: {error.strerror}"
            raise SadclError(words, where=root / folder, fix="Check who may read it") from None
