"""Listing the photos of a source on S3 again (`sadcl data relist`)."""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from sadcl import files, layout, pipeline
from sadcl.data import listed_photos
from sadcl.data.listed_photos import FILE, ListedPhotos
from sadcl.data.onboarding.add import tracked
from sadcl.data.onboarding.bucket import write_manifest
from sadcl.errors import SadclError
from sadcl.names import counted

NAMED = 3
"""Most photos that have gone and are named."""


def relist(name: str, root: Path = Path(".")) -> str:
    """List the photos of a source again, and let DVC record the manifest if it has changed.

    Args:
        name: of the source.
        root: the project's folder.

    Returns:
        A sentence for the user: how many photos are new, changed and gone.

    Raises:
        SadclError: the source has no photos on S3, or S3 gives no answer; the manifest stays as it was.
    """
    pipeline.require_project(root)
    folder = root / layout.RAW / name
    before = listed_photos.of_source(folder)
    if before is None:
        fix = f"For photos in its folder, run `dvc add {folder}`" if folder.is_dir() else "Check the name"
        raise SadclError("The source has no photos on S3", where=folder, fix=fix)
    with TemporaryDirectory() as temporary:
        path = Path(temporary) / FILE
        after = write_manifest(path, before.place)
        differences = _differences(before, after)
        if differences:
            # replaced, not written to: DVC's cache may share the old file
            with files.atomic_write(folder / FILE) as target:
                shutil.copyfile(path, target)
    if tracked(folder).exists():
        pipeline.add(folder)  # also without differences: an earlier listing may have been interrupted before this
    return f"{before.place} has {counted(len(after), 'photo')}: {differences or 'nothing has changed'}"


def _differences(before: ListedPhotos, after: ListedPhotos) -> str:
    """Numbers of new, changed and gone photos; empty if there are none."""
    old, new = before.versions(), after.versions()
    added, gone = len(new.keys() - old.keys()), sorted(old.keys() - new.keys())
    changed = sum(path in old and old[path] != version for path, version in new.items())
    if not (added or changed or gone):
        return ""
    names = f" ({', '.join(gone[:NAMED])}{', ...' if len(gone) > NAMED else ''})" if gone else ""
    return f"{added:,} new, {changed:,} changed, {len(gone):,} gone{names}"
