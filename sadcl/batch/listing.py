"""Places: folders, addresses of S3 and lists, and the photos of each, sorted by path."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sadcl import s3
from sadcl.batch import inventory, reading
from sadcl.batch.manifest import Row
from sadcl.data.sources.photo_files import is_junk, is_photo
from sadcl.errors import SadclError

THREADS, AHEAD = 8, 4
"""Folders that are listed at a time, and those below each that are listed ahead of their turn."""

Folder = tuple[list[Row], list[str]]
"""Photos directly in a folder, and the folders there with a slash at the end; both by their own names."""


@dataclass(frozen=True)
class Place:
    """Photos to predict.

    Attributes:
        name: absolute path or address of the place.
        root: folder or address that the photos' paths are relative to.
        rows: lists the photos, sorted by path.
    """

    name: str
    root: str
    rows: Callable[[], Iterator[Row]]


def find(text: str) -> Place:
    """Recognise a place: a folder, an ``s3://`` address, or a list.

    Raises:
        SadclError: there is no such place.
    """
    if inventory.is_list(text):
        name = text if s3.is_address(text) else str(Path(text).resolve())
        return Place(name, inventory.root(name), lambda: inventory.rows(name))
    if s3.is_address(text):
        s3.split(text)
        root = text.rstrip("/") + "/"
        return Place(root, root, lambda: walk(lambda folder: _list_s3(root, folder)))
    folder = Path(text).resolve()
    _checked(str(folder), folder.parent, "folder")
    if not folder.is_dir():
        problem = "This is one file" if folder.is_file() else "There is no such folder"
        fix = "With --out, name a folder, an s3:// address, or a list (.parquet, .csv, manifest.json)"
        raise SadclError(problem, where=text, fix=fix)
    return Place(str(folder), str(folder), lambda: walk(partial(_list_folder, folder), _Links(folder).is_new))


def walk(list_folder: Callable[[str], Folder], is_new: Callable[[str], bool] = lambda _: True) -> Iterator[Row]:
    """Photos of a tree, sorted by path; only folders along the way, and a few next to them, are in memory.

    Args:
        list_folder: lists the folder of a name such as ``2024/may/``; called in several threads.
        is_new: whether a folder is walked; called in the order of the walk.
    """
    with ThreadPoolExecutor(THREADS) as pool:
        open_folders = [_visit("", list_folder(""), list_folder, pool)]
        while open_folders:
            entry = next(open_folders[-1], None)
            if entry is None:
                open_folders.pop()
            elif isinstance(entry[1], Future):
                if not is_new(entry[0]):
                    continue
                open_folders.append(_visit(entry[0], entry[1].result(), list_folder, pool))
            else:
                yield entry[1]


def _visit(
    folder: str, content: Folder, list_folder: Callable[[str], Folder], pool: ThreadPoolExecutor
) -> Iterator[tuple[str, "Row | Future[Folder]"]]:
    """Photos of a folder, and the folders in it, in order of their paths."""
    photos, folders = content
    waiting, ahead = deque(sorted(folder + name for name in folders)), deque["Future[Folder]"]()
    # a folder's slash is part of its name here: then the order is that of whole paths
    for name, row in sorted([*((folder + row[0], row) for row in photos), *((name, None) for name in waiting)]):
        if row is not None:
            yield name, (name, *row[1:])
            continue
        while waiting and len(ahead) < AHEAD:
            ahead.append(pool.submit(list_folder, waiting.popleft()))
        yield name, ahead.popleft()


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
        reason = f"The folder can't be read: {error.strerror}"
        raise SadclError(reason, where=here, fix="Check its permissions") from None
    return photos, folders


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


def _list_s3(root: str, folder: str) -> Folder:
    objects, folders = s3.list_folder(root + folder)
    return [row for row in objects if is_photo(row[0]) and not is_junk(row[0])], [
        name for name in folders if not is_junk(name.rstrip("/"))
    ]
