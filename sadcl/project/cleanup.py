"""Removal of caches and leftovers that can be produced again."""

import shutil
import time
from pathlib import Path

from sadcl import files, layout
from sadcl.errors import SadclError


def removable() -> list[tuple[Path, int]]:
    """What can be made again or is left over: path and bytes."""
    made = [path for name in ("state", "worktrees", "downloads") for path in Path(".sadcl", name).glob("*")]
    made.append(Path(".sadcl/cache"))
    found = [path for path in made if path.exists() and not _in_use(path)]
    found += [part for folder in layout.WRITTEN_BY_STAGES for part in Path(folder).rglob(".*.part") if _abandoned(part)]
    return [(path, size) for path in found if (size := _size(path))]


def clean(found: list[tuple[Path, int]]) -> str:
    """Remove what ``removable`` named, and what DVC's cache holds for no file or commit."""
    from sadcl import pipeline

    for path, _ in found:
        path.unlink(missing_ok=True) if path.is_file() else shutil.rmtree(path, ignore_errors=True)
    pipeline.collect_garbage()
    return f"Freed {sum(size for _, size in found) / 1e6:.1f} MB beside what DVC's cache no longer needs."


def _in_use(path: Path) -> bool:
    lock = path / "lock"
    if not lock.exists():
        return False
    try:
        with files.lock(lock, "cleaning"):
            return False
    except SadclError:
        return True


def _abandoned(part: Path) -> bool:
    """A file that was being written when its process was killed: one that is alive writes more often than this."""
    return time.time() - part.stat().st_mtime > 3600


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in (path, *path.rglob("*")) if file.is_file())
