"""Places: folders, addresses of S3 and lists, and the photos of each, sorted by path."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sadcl import s3
from sadcl.batch import inventory, reading
from sadcl.data.manifest import Row
from sadcl.data.sources.photo_files import is_junk, is_photo
from sadcl.data.tree_listing import Folder, list_bucket, walk
from sadcl.errors import SadclError

FILE = "_manifest.parquet"
"""The manifest of a job."""


@dataclass(frozen=True)
class Place:
    """Photos to predict.

    Attributes:
        name: absolute path or address of the place.
        root: folder or address that the photos' paths are relative to.
        rows: lists the photos, sorted by path.
        is_empty: whether the place has no entry at all; takes one request.
    """

    name: str
    root: str
    rows: Callable[[], Iterator[Row]]
    is_empty: Callable[[], bool]


def find(text: str) -> Place:
    """Recognise a place: a folder, an ``s3://`` address, or a list.

    Raises:
        SadclError: there is no such place.
    """
    if inventory.is_list(text):
        name = text if s3.is_address(text) else str(Path(text).resolve())
        return Place(name, inventory.root(name), lambda: inventory.rows(name), lambda: False)
    if s3.is_address(text):
        s3.split(text)
        root = text.rstrip("/") + "/"
        return Place(root, root, partial(list_bucket, root), partial(s3.is_empty, root))
    folder = Path(text).resolve()
    _checked(str(folder), folder.parent, "folder")
    if not folder.is_dir():
        problem = "This is one file" if folder.is_file() else "There is no such folder"
        fix = "With --out, name a folder, an s3:// address, or a list (.parquet, .csv, manifest.json)"
        raise SadclError(problem, where=text, fix=fix)
    return Place(
        str(folder), str(folder), lambda: walk(partial(_list_folder, folder), _Links(folder).is_new),
        partial(_is_empty, folder),
    )  # fmt: skip


class _Links:
    """Follows links, each folder once: under its own path where that is below the root, else under the first.

    Args:
        root: of the walk, without links.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._visited: set[Path] = set()

    def is_new(self, folder: str) -> bool:
        """Whether a folder was not walked, and will not be, under another path."""
        path = self._root / folder
        real = Path(os.path.realpath(path))
        if real == path:
            return True
        below = real.is_relative_to(self._root) and not any(map(is_junk, real.relative_to(self._root).parts))
        if below or real in self._visited:
            return False
        self._visited.add(real)
        return True


def _list_folder(root: Path, folder: str) -> Folder:
    """List a local folder; links are followed unless they lead to a folder above them."""
    photos: list[Row] = []
    folders: list[str] = []
    here = root / folder
    try:
        with os.scandir(here) as entries:
            for entry in entries:
                if is_junk(entry.name):
                    continue
                if _is_folder(entry):
                    if not (entry.is_symlink() and here.resolve().is_relative_to(os.path.realpath(entry.path))):
                        folders.append(_checked(entry.name, here, "folder") + "/")
                elif is_photo(entry.name):
                    photos.append((_checked(entry.name, here, "file"), *reading.size_and_version(entry)))
    except OSError as error:
        raise _unreadable(here, error) from None
    return photos, folders


def _is_empty(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is None
    except OSError as error:
        raise _unreadable(folder, error) from None


def _unreadable(folder: Path, error: OSError) -> SadclError:
    return SadclError(f"The folder can't be read: {error.strerror}", where=folder, fix="Check its permissions")


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _checked(name: str, folder: Path, kind: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        escaped = os.fsencode(name).decode("utf-8", "backslashreplace")
        raise SadclError(f"The {kind} name {escaped} is not UTF-8", where=folder, fix=f"Rename the {kind}") from None
    return name
