"""The folder of photos that a list of labels refers to."""

import posixpath
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from sadcl import params
from sadcl.data import sources
from sadcl.data.listed_photos import is_present, of_source
from sadcl.data.onboarding.candidates import held_out, split_of
from sadcl.data.onboarding.listing import visible_folders
from sadcl.data.sources.formats import Format
from sadcl.data.sources.photo_lookup import listed_names
from sadcl.errors import SadclError

MAX_FOLDERS, DEPTH = 50, 2
"""Most folders that are tried as the folder of photos, and how deep they are at most."""


def locate_photos(root: Path, settings: dict[str, Any], known: Format) -> tuple[dict[str, Any], sources.Source]:
    """Complete settings by the folder of photos.

    Returns:
        Settings with the most photos on the disk, and the source that they read.

    Raises:
        SadclError: the source is damaged, or has no class.
    """
    if known.one_for_all or known.per_photo:
        return settings, read(root, settings)
    best: tuple[tuple[int, int], dict[str, Any], sources.Source] | None = None
    listed: list[str] | None = None  # names as the lists have them
    for images in _candidate_folders(root, settings["annotations"]):
        candidate, folders = {**settings, "images": images}, set(images.values())
        if listed is not None and best and len(folders) == 1:  # long lists are read again for a better candidate alone
            folder = next(iter(folders))
            if sum(is_present(root, posixpath.normpath(f"{folder}/{name}")) for name in listed) <= best[0][1]:
                continue
        try:
            source = read(root, candidate)
        except SadclError:
            if best is None:
                raise
            continue  # such as two lists with the same names, whose folders tell them apart
        names = listed_names(source)
        if folders == {"."} and known.name != "labelstudio":  # whose reader tries three folders per photo
            listed = names
        present = sum(is_present(root, name) for name in names)
        score = sum(is_present(root, image.file) for image in source.images), present
        if best is None or score > best[0]:
            best = score, candidate, source
        if 0 < present == len(names):
            break
    assert best is not None  # there is a first candidate
    return best[1:]


def _candidate_folders(root: Path, lists: dict[str, str | list[str]]) -> Iterator[dict[str, Any]]:
    """Possible folders of photos, by split: that of its list, the source itself, or one of its folders."""
    if any(not isinstance(value, str) for value in lists.values()):
        yield {}  # several lists: each in its own folder
    else:
        yield {split: PurePosixPath(str(name)).parent.as_posix() for split, name in lists.items()}
    yield dict.fromkeys(lists, ".")
    folders = _inner_folders(root)[:MAX_FOLDERS]
    by_split = held_out({split: name for name in folders if (split := split_of(f"{name}/x"))})
    if set(by_split) == set(lists) > {"train"}:
        yield by_split
    for name in folders:
        yield dict.fromkeys(lists, name)


def _inner_folders(root: Path) -> list[str]:
    """Folders of a source and folders in these, relative to it, sorted, without hidden ones."""
    if (photos := of_source(root)) is not None:
        return sorted(folder for folder in photos.folders if folder.count("/") < DEPTH)
    return [
        path.relative_to(root).as_posix()
        for outer in visible_folders(root)
        for path in (outer, *visible_folders(outer))
    ]


def read(root: Path, ingest: dict[str, Any]) -> sources.Source:
    """Read a source by settings that lack the source's name.

    Raises:
        SadclError: the source is damaged.
    """
    return sources.read_source(root, params.Ingest.model_validate({"source": "own", **ingest}))
