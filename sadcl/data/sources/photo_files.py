"""Photo files below a folder."""

import os
from collections.abc import Iterator
from pathlib import Path

from sadcl.data.sources import safe_join
from sadcl.data.sources.safe_yaml import exists
from sadcl.errors import SadclError

SUFFIXES = frozenset(
    (
        ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".ppm",
        ".pgm", ".pbm", ".pnm", ".pfm", ".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c", ".avif", ".avifs",
    )
)  # fmt: skip
"""Suffixes of photo files, in lower case."""


def list_photos(root: Path, folder: str) -> list[str]:
    """Sorted paths of all photos below a folder, relative to ``root``, without hidden files and folders.

    Links to folders are followed.

    Raises:
        SadclError: the folder is missing or can't be read, a link forms a loop, or a file name is not UTF-8.
    """
    plain = folder.strip("/")
    start = "" if plain in ("", ".") else safe_join("", plain, "ingest.images")
    if not exists(root / start):
        raise SadclError("The folder of photos is missing", where=root / start, fix="Check ingest.images")
    names = sorted(_walk(root, start))
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            escaped = os.fsencode(name).decode("utf-8", "backslashreplace")
            raise SadclError(f"The file name {escaped} is not UTF-8", where=root, fix="Rename the photo") from None
    return names


def _walk(root: Path, start: str) -> Iterator[str]:
    stack: list[tuple[str, tuple[str, ...]]] = [(start, ())]
    while stack:
        folder, ancestors = stack.pop()
        try:
            real = os.path.realpath(root / folder)
            if real in ancestors:  # a link to a folder above it would be followed forever
                raise SadclError(
                    "The folder contains itself through a link", where=root / folder, fix="Remove the link"
                )
            with os.scandir(root / folder) as entries:
                for entry in entries:
                    name = f"{folder}/{entry.name}" if folder else entry.name
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir():
                        stack.append((name, (*ancestors, real)))
                    elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:
                        yield name
        except OSError as error:
            problem = f"The folder can't be read: {error.strerror}"
            raise SadclError(problem, where=root / folder, fix="Check its permissions") from None
