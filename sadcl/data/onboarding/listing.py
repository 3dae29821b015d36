"""Contents of a folder without junk, hidden ones and those that can't be read."""

import os
from pathlib import Path

from sadcl.data.sources.photo_files import is_junk


def visible(folder: Path) -> list[Path]:
    """Sorted files and folders in a folder; none of one that can't be read, which readers report if they need it."""
    try:
        return sorted(path for path in folder.iterdir() if not is_junk(path.name))
    except OSError:
        return []


def visible_folders(folder: Path) -> list[Path]:
    """Sorted folders in a folder, without links that lead nowhere."""
    return [path for path in visible(folder) if os.path.isdir(path)]
