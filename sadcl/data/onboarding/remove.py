"""Removal of a source from a project (`sadcl data remove`): the way back from `sadcl data add`.

Nothing is removed that exists nowhere else: photos are copies and in DVC's cache, and a change that neither DVC nor git
has stored is refused.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sadcl import layout, params, pipeline
from sadcl.data import listed_photos
from sadcl.data.onboarding.add import recipe_path, tracked
from sadcl.errors import SadclError


@dataclass(frozen=True)
class Removal:
    """Files of a source that can be removed.

    Attributes:
        folder: of its photos; it may be gone already.
        others: its further files, in the order of their removal; the recipe is last, since it identifies the source.
        notes: sentences for the user about what stays.
    """

    folder: Path
    others: tuple[Path, ...]
    notes: tuple[str, ...]

    @property
    def paths(self) -> list[Path]:
        """Files and folders of the source that exist."""
        return [path for path in (self.folder, *self.others) if path.exists()]


def plan(name: str, root: Path = Path(".")) -> Removal:
    """Find what `sadcl data add` has written for a source.

    Args:
        name: of the source.
        root: the project's folder.

    Raises:
        SadclError: there is no such source, another recipe reads it, or DVC or git has not stored its present state.
    """
    pipeline.require_project(root)
    folder, recipe = root / layout.RAW / name, recipe_path(name, root)
    if not recipe.exists() or os.sep in name or _source_of(recipe) != name:
        raise _unknown(name, root)
    readers = [path for path in sorted(recipe.parent.glob("*.yaml")) if path != recipe and _source_of(path) == name]
    if readers:
        problem = f"Another recipe reads the source: {', '.join(path.name for path in readers)}"
        raise SadclError(problem, where=readers[0].parent, fix="Remove that recipe first")
    record, splits, settings = tracked(folder), folder.with_name(f"{name}.splits.csv"), root / params.FILE
    if folder.is_symlink() or (folder.exists() and not record.exists()):
        problem = "The folder is a link" if folder.is_symlink() else "DVC does not track the folder"
        raise SadclError(f"{problem}, so its photos may be the only ones", where=folder, fix="Remove it yourself")
    if folder.exists() and pipeline.is_modified(record):
        fix = f"Store it with `dvc add {folder}` and commit {record}, or undo it with `dvc checkout --force {record}`"
        raise SadclError("The folder has changed since DVC stored it", where=folder, fix=fix)
    selected = settings.exists() and settings.read_bytes() == recipe.read_bytes()
    others = (record, splits, *([settings] if selected else []), recipe)
    _require_committed([path for path in others if path != settings], root)
    photos = listed_photos.of_source(folder)
    notes = [f"The photos on {photos.place} stay" if photos else "DVC's cache keeps the photos until `dvc gc`"]
    if not selected and settings.exists() and _source_of(settings) == name:
        notes.append(f"{params.FILE} stays: it reads this source, but has other settings than the recipe")
    return Removal(folder, others, tuple(notes))


def remove(removal: Removal) -> list[str]:
    """Remove a source; after an interruption, a second removal completes it.

    Returns:
        Lines for the user.

    Raises:
        SadclError: the folder can't be removed, so that its record and recipe stay; or DVC is busy.
    """
    removed = removal.paths
    try:
        if removal.folder.exists():  # an earlier removal may have been interrupted
            shutil.rmtree(removal.folder)
    except OSError as error:
        problem = f"The folder can't be removed: {error.strerror or error}"
        fix = "Check the permissions in it, and remove the source again"
        raise SadclError(problem, where=error.filename or removal.folder, fix=fix) from None
    for path in removal.others:
        if path.suffix == ".dvc" and path.exists():
            pipeline.untrack(path)
        path.unlink(missing_ok=True)
    return [f"Removed {', '.join(map(str, removed))}", *removal.notes]


def _source_of(settings: Path) -> str:
    """The source that a file of settings names; empty if it can't be read."""
    try:
        ingest = params.read_settings(settings).get("ingest")
    except SadclError:
        return ""
    return str(ingest.get("source", "")) if isinstance(ingest, dict) else ""


def _unknown(name: str, root: Path) -> SadclError:
    recipes = sorted((root / params.RECIPES).glob("*.yaml"))
    names = [path.stem for path in recipes if _source_of(path) == path.stem]
    fix = f"Choose one of {', '.join(names)}" if names else "Add one with `sadcl data add PATH --name NAME`"
    return SadclError(f"`sadcl data add` has added no source {name!r}", where=root / params.RECIPES, fix=fix)


def _require_committed(paths: Sequence[Path], root: Path) -> None:
    """Check that git has the present state of the files that it has at all.

    Raises:
        SadclError: one of them differs from its last commit.
    """
    if changed := pipeline.uncommitted(paths, root):
        problem = f"{', '.join(map(str, changed))} has changes that git has not"
        raise SadclError(problem, where=root, fix="Commit them, or undo them with `git checkout`")
