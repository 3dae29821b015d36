"""Photos of a folder, without the junk that computers, cameras and storage leave there."""

import os
from collections import deque
from collections.abc import Collection, Iterator
from pathlib import Path

from sadcl.data import listed_photos
from sadcl.data.sources import safe_join
from sadcl.errors import SadclError

SUFFIXES = frozenset(
    (
        ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff",
        ".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c", ".avif", ".avifs",
        ".heic", ".heics", ".heif", ".heifs", ".hif",
    )
)  # fmt: skip
"""Suffixes of photo files, in lower case."""

JUNK = frozenset(
    (
        "__macosx", "icon\r",  # macOS, besides hidden files
        "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "$recycle.bin", "recycler",
        "system volume information",  # Windows
        "@eadir", "@tmp", "@sharebin", "#recycle", "#snapshot",  # Synology: thumbnails, bin, snapshots
        "@recycle", "@recently-snapshot",  # QNAP
        "lost+found", "lost.dir", "__pycache__",
    )
)  # fmt: skip
"""Names of files and folders that hold no photos of the user's, in lower case; hidden ones are junk too."""

MOST_LINKED = 20_000
"""Folders after which links are no longer followed where every path counts."""


def is_junk(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or one that systems create (``@eaDir``, ``Thumbs.db``, ...).

    Args:
        name: of the file or folder itself, without the folders above it.
    """
    return name.startswith(".") or name.lower() in JUNK


def list_photos(root: Path, folder: str) -> list[str]:
    """Sorted paths of all photos below a folder, relative to ``root``, without junk (``is_junk``).

    Links to folders are followed; of several paths of a folder, one without links counts, else the first.

    Raises:
        SadclError: the folder is missing or can't be read, a link forms a loop, or a file name is not UTF-8.
    """
    plain = folder.strip("/")
    start = "" if plain in ("", ".") else safe_join("", plain, "ingest.images")
    if not listed_photos.has_folder(root, start):
        raise SadclError("The folder of photos is missing", where=root / start, fix="Check ingest.images")
    names = sorted(walk_photos(root, start))
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            escaped = os.fsencode(name).decode("utf-8", "backslashreplace")
            raise SadclError(f"The file name {escaped} is not UTF-8", where=root, fix="Rename the photo") from None
    return names


def is_photo(name: str) -> bool:
    """Whether a file name has a photo's suffix, in any letter case."""
    return os.path.splitext(name)[1].lower() in SUFFIXES


def walk_photos(root: Path, start: str = "", *, strict: bool = True) -> Iterator[str]:
    """Paths of photos below a folder, or of those that its manifest lists.

    Args:
        root: folder that the paths are relative to.
        start: folder to begin in, relative to ``root``.
        strict: as in ``walk``.

    Raises:
        SadclError: ``strict``, and a folder can't be read or contains itself through a link.
    """
    if (manifest := listed_photos.of_source(root)) is not None:
        yield from manifest.below(start)
        return
    for folder, names in walk(root, start, strict=strict):
        yield from (f"{folder}/{name}" if folder else name for name in names if is_photo(name))


def walk(
    root: Path, start: str = "", *, strict: bool = False, each_path: bool = False, skip: Collection[str] = ()
) -> Iterator[tuple[str, list[str]]]:
    """Folders below a folder and the files in them, without junk; links to folders are followed.

    Args:
        root: folder that the paths are relative to.
        start: folder to begin in, relative to ``root``.
        strict: a folder that can't be read, or a link that forms a loop, is an error; else it is left out.
        each_path: a folder comes under each path that leads to it, but for loops and more than ``MOST_LINKED`` folders;
            else once, under its own path before those of links.
        skip: names of folders that are left out, in lower case.

    Yields:
        Path of a folder and the sorted names of the files in it, the shallow folders first.

    Raises:
        SadclError: ``strict``, and a folder can't be read or contains itself through a link.
    """
    waiting, links = deque[tuple[str, tuple[str, ...]]]([(start, ())]), deque[tuple[str, tuple[str, ...]]]()
    visited: set[str] = set()
    entered = 0
    while waiting or (links and not (each_path and entered >= MOST_LINKED)):  # links to links multiply
        folder, ancestors = waiting.popleft() if waiting else links.popleft()
        try:
            real = os.path.realpath(root / folder)
            if strict and real in ancestors:  # a link to a folder above it would be followed forever
                raise SadclError(
                    "The folder contains itself through a link", where=root / folder, fix="Remove the link"
                )
            if real in (ancestors if each_path else visited):
                continue
            visited.add(real)
            with os.scandir(root / folder) as entries:
                listed = sorted((entry for entry in entries if not is_junk(entry.name)), key=lambda entry: entry.name)
        except OSError as error:
            if not strict:
                continue
            problem = f"The folder can't be read: {error.strerror}"
            raise SadclError(problem, where=root / folder, fix="Check its permissions") from None
        entered += 1
        files: list[str] = []
        for entry in listed:
            if not _is_folder(entry):
                files.append(entry.name)
            elif entry.name.lower() not in skip:
                name = f"{folder}/{entry.name}" if folder else entry.name
                (links if entry.is_symlink() else waiting).append((name, (*ancestors, real)))
        yield folder, files


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False
