"""Photos of a tree of folders, listed by several threads and sorted by path; the trees of S3."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from sadcl import s3
from sadcl.data.manifest import Row
from sadcl.data.sources.photo_files import is_junk, is_photo

THREADS, AHEAD = 8, 4
"""Folders that are listed at a time, and those below each that are listed ahead of their turn."""

Folder = tuple[list[Row], list[str]]
"""Photos directly in a folder, and the folders there with a slash at the end; both by their own names."""


def list_bucket(address: str) -> Iterator[Row]:
    """List the photos below an address of S3, sorted by path, without junk.

    Args:
        address: of a folder, with a slash at the end.

    Raises:
        RefusedError: the bucket is missing, or the server refuses or does not answer.
    """
    return walk(lambda folder: _list_objects(address, folder))


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


def _list_objects(root: str, folder: str) -> Folder:
    objects, folders = s3.list_folder(root + folder)
    return [row for row in objects if is_photo(row[0]) and not is_junk(row[0])], [
        name for name in folders if not is_junk(name.rstrip("/"))
    ]
