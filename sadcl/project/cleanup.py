"""Removal of caches and of leftovers of killed processes."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from sadcl import files, layout
from sadcl.errors import SadclError

LOCK = layout.LOCAL / "clean.lock"
"""Lock of a cleaning; a retraining waits for it before it takes its own, which a cleaning only looks at."""


def removable() -> list[tuple[Path, int]]:
    """Path and size in bytes of each cache and leftover that no process uses.

    Raises:
        SadclError: a lock file can't be opened.
    """
    with files.lock(LOCK, "cleaning", wait=True):
        # a worktree that is being added has no lock of its own yet
        worktrees = () if _is_locked(layout.RETRAIN_LOCK) else (layout.WORKTREES,)
    folders = (layout.TRAINING_STATE, layout.DOWNLOADS, *worktrees)
    scores = layout.SCORING_CACHE
    caches = [*(path for folder in (*folders, scores) for path in folder.glob("*")),
              *(path for path in layout.CACHE.glob("*") if path != scores),
              layout.REVIEW_CACHE, layout.VERIFIED_SCORES]  # fmt: skip
    unused = [path for path in caches if path.exists() and not _in_use(path)]
    parts = [part for folder in layout.WRITTEN_BY_STAGES for part in _parts(folder) if _abandoned(part)]
    return [(path, size) for path in [*unused, *parts] if (size := _size(path))]


def clean(paths: list[tuple[Path, int]]) -> str:
    """Remove files and folders, and files of DVC's cache that neither the workspace nor a commit refers to.

    What a process has begun to use since ``removable`` listed it stays. While a retraining is under way, DVC's cache
    stays too: its results are in no commit yet.

    Args:
        paths: path and size in bytes of each, as ``removable`` returns them.

    Returns:
        A sentence with the freed space.

    Raises:
        SadclError: DVC is busy, or a lock file can't be opened.
    """
    from rich.filesize import decimal

    from sadcl import pipeline

    with files.lock(LOCK, "cleaning", wait=True):  # no retraining begins meanwhile
        retrains = _is_locked(layout.RETRAIN_LOCK)
        if retrains:
            paths = [(path, size) for path, size in paths if layout.WORKTREES not in path.parents]
        removed = f"Removed {decimal(sum(size for path, size in paths if _remove(path)))} of caches and leftovers"
        if retrains:
            return f"{removed}. DVC's cache stays until the retraining has ended."
        pipeline.collect_garbage()
    return f"{removed}, and the files of DVC's cache that nothing refers to."


def _remove(path: Path) -> bool:
    """Remove a file or folder that no process uses; whether it was removed."""
    if not path.exists() or _in_use(path) or (path.suffix == ".part" and not _abandoned(path)):
        return False
    path.unlink(missing_ok=True) if path.is_file() else shutil.rmtree(path, ignore_errors=True)
    return True


def _in_use(path: Path) -> bool:
    """Whether a process holds the lock of a folder, or writes a file in it."""
    return _is_locked(path / "lock") or any(not _abandoned(part) for part in _parts(path))


def _is_locked(lock: Path) -> bool:
    if not lock.exists():
        return False
    try:
        with files.lock(lock, "cleaning"):
            return False
    except SadclError:  # also where the lock is another user's
        return True


def _abandoned(part: Path) -> bool:
    """Whether a partial file is a leftover: a living process writes to its file more often than once an hour."""
    try:
        return time.time() - part.stat().st_mtime > 3600
    except FileNotFoundError:  # a process has just finished it
        return False


def _parts(folder: Path) -> Iterator[Path]:
    """Partial files and folders in a folder, at any depth."""
    return (path for path in _below(folder) if path.match(".*.part"))


def _size(path: Path) -> int:
    return sum(_bytes(file) for file in (path, *_below(path)))


def _bytes(path: Path) -> int:
    """Size of a file; 0 for a folder, and for what has vanished."""
    try:
        return path.stat().st_size if path.is_file() else 0
    except FileNotFoundError:
        return 0


def _below(folder: Path) -> Iterator[Path]:
    """Files and folders in a folder, at any depth; unlike ``rglob``, it takes a folder that vanishes meanwhile."""
    return (Path(parent, name) for parent, folders, names in os.walk(folder) for name in (*folders, *names))
