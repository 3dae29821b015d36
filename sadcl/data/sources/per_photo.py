"""Formats with one annotation file per photo: ``ingest.annotations`` names folders of them."""

import posixpath
from collections.abc import Iterator, Sequence
from pathlib import Path

from sadcl import params
from sadcl.data.listed_photos import is_present
from sadcl.data.sources import safe_join
from sadcl.data.sources.exports import by_folder, photo_path
from sadcl.data.sources.photo_files import SUFFIXES, walk
from sadcl.data.sources.text import is_valid_text, short_repr
from sadcl.errors import SadclError

MOST_FILES = 2_000_000
"""Annotation files of a source."""


def folders(root: Path, settings: params.Ingest) -> Iterator[tuple[str, str, str]]:
    """Yield the split, the path and the folder of photos of each folder of annotation files, relative to the source.

    Raises:
        SadclError: there is none for train, or one is missing, or a folder is outside the source.
    """
    where = "ingest.annotations"
    if not settings.files("train"):
        raise SadclError(
            f"A {settings.format} source needs a folder for train", where=where, fix="Name the folder there"
        )
    for split in settings.annotations:
        for name in settings.files(split):
            folder = _below(name, where)
            if not (root / folder).is_dir():
                raise SadclError("The folder of annotation files is missing", where=root / folder, fix=f"Check {where}")
            photos = _below(settings.images.get(split, settings.images.get("train", "")), "ingest.images")
            yield "" if len(settings.annotations) == 1 else split, folder, photos


def _below(name: str, where: str) -> str:
    """Path of a folder; empty for that of the source itself."""
    return "" if name.strip("./") == "" and ".." not in name else safe_join("", name.rstrip("/"), where)


def files_below(root: Path, folder: str, suffix: str) -> list[str]:
    """Sorted paths of files with a suffix below a folder, relative to ``root``, without junk (``walk``).

    Raises:
        SadclError: there are too many, or a name is not UTF-8.
    """
    paths: list[str] = []
    for parent, names in walk(root, folder):
        paths += [f"{parent}/{name}" if parent else name for name in names if name.lower().endswith(suffix)]
        if len(paths) > MOST_FILES:
            raise SadclError(f"There are more than {MOST_FILES:,} files", where=root / folder, fix="Split the source")
    for path in paths:
        if not is_valid_text(path):
            problem = f"The file name {short_repr(path)} is not UTF-8"
            raise SadclError(problem, where=root / folder, fix="Rename the file")
    return sorted(paths)


def splits_of(files: Sequence[str], photos: Sequence[str], start: str) -> list[str]:
    """Split of each photo by the folders of the annotation files, else by those of the photos; empty where none has it.

    Args:
        files: the annotation files.
        photos: the photo of each.
        start: the folder of annotation files that has them.
    """
    splits = by_folder(files, start)
    return splits if any(splits) else by_folder(photos, start)


def photo_of(root: Path, file: str, start: str, listed: str, photos: str, usual: Sequence[str]) -> str:
    """Path of the photo that an annotation file describes.

    The photo has the name of the annotation file, else the name that the file lists, which a copied or renamed file may
    have of another photo. It is below the folder of photos, next to the file, or in a usual folder next to that of the
    file.

    Args:
        root: the source's folder.
        file: the annotation file.
        start: the folder of annotation files that has it.
        listed: name of the photo in the file, or empty.
        photos: folder of photos by the settings, or empty.
        usual: names of usual folders of photos.
    """
    folder, name = posixpath.split(file)
    inner = folder[len(start) :].lstrip("/")
    configured = [posixpath.join(photos, inner), photos] if photos not in ("", ".") else []
    folders = [*configured, folder]
    for above in dict.fromkeys((posixpath.dirname(start), posixpath.dirname(folder))):
        folders += [posixpath.join(above, kind, part) for kind in usual for part in (inner, "")]
    stem, suffix = posixpath.splitext(name)[0], posixpath.splitext(listed)[1]
    for candidate in folders:
        for ending in (suffix, *(() if listed else (".jpg", ".jpeg", ".png", ".JPG", *sorted(SUFFIXES)))):
            path = posixpath.normpath(posixpath.join(candidate, stem + ending))
            if ending.lower() in SUFFIXES and is_present(root, path):
                return path
    return photo_path(root, listed or f"{stem}.jpg", folders, root / file)
