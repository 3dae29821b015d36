"""Removal of caches and of leftovers of killed processes."""

import shutil
import time
from pathlib import Path

from sadcl import files, layout
from sadcl.errors import SadclError


def removable() -> list[tuple[Path, int]]:
    """Path and size in bytes of each cache and leftover that no process uses."""
    folders = (layout.TRAINING_STATE, layout.WORKTREES, layout.DOWNLOADS)
    scores = layout.SCORING_CACHE
    caches = [*(path for folder in (*folders, scores) for path in folder.glob("*")),
              *(path for path in layout.CACHE.glob("*") if path != scores),
              layout.REVIEW_CACHE, layout.VERIFIED_SCORES]  # fmt: skip
    unused = [path for path in caches if path.exists() and not _in_use(path)]
    parts = [part for folder in layout.WRITTEN_BY_STAGES for part in folder.rglob(".*.part") if _abandoned(part)]
    return [(path, size) for path in [*unused, *parts] if (size := _size(path))]


def clean(paths: list[tuple[Path, int]]) -> str:
    """Remove files and folders, and files of DVC's cache that neither the workspace nor a commit refers to.

    Args:
        paths: path and size in bytes of each, as ``removable`` returns them.

    Returns:
        A sentence with the freed space.

    Raises:
        SadclError: DVC is busy.
    """
    from rich.filesize import decimal

    from sadcl import pipeline

    for path, _ in paths:
        path.unlink(missing_ok=True) if path.is_file() else shutil.rmtree(path, ignore_errors=True)
    pipeline.collect_garbage()
    freed = decimal(sum(size for _, size in paths))
    return f"Removed {freed} of caches and leftovers, and the files of DVC's cache that nothing refers to."


def _in_use(path: Path) -> bool:
    """Whether a process holds the lock of a folder; folders without a lock file are free."""
    lock = path / "lock"
    if not lock.exists():
        return False
    try:
        with files.lock(lock, "cleaning"):
            return False
    except SadclError:
        return True


def _abandoned(part: Path) -> bool:
    """Whether a partial file is a leftover: a living process writes to its file more often than once an hour."""
    return time.time() - part.stat().st_mtime > 3600


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in (path, *path.rglob("*")) if file.is_file())
