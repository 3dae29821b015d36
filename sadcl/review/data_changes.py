"""Photos and labels behind a version, compared with the champion's and with those of this project.

A photo is known by the SHA-256 of its bytes. Which photos a model has learned from can't be computed from its weights:
its author registered the table, and only the comparison with the project is this page's own.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from sadcl.data.photo_list import Photo, PhotoList, differences, read_photo_list
from sadcl.data.table import SPLITS

FORMAT = 3
"""Version of the value that ``compare`` returns; part of its cache key."""
MOST_EXAMPLES, MOST_NAMES = 6, 20
"""Photos that are shown of each kind of change; names of classes."""
SINCE_CHAMPION = ("added", "removed", "relabelled", "moved")
IN_PROJECT = ("test_here", "unknown", "other_labels")
"""Kinds of difference: a test photo of the project in another split of the version, a photo that the project does not
have, and one that has other labels there."""
KINDS = (*SINCE_CHAMPION, *IN_PROJECT)


def compare(version: Path, champion: Path | None, project: Path | None) -> dict[str, Any]:
    """Compare the table of a version with the champion's and the project's.

    Args:
        version, champion: registered tables; the champion's is None where there is none.
        project: table of this project; None where it has none.

    Returns:
        JSON value. ``splits``: rows of split, version, champion, added and removed; ``counts`` and ``examples`` by
        ``KINDS``, each photo with its ``path`` in this project; ``classes``: names added and removed; ``look_alikes``:
        rows of test, other, transform, similarity and ``here`` (found by this project); ``has_champion``,
        ``has_project``.

    Raises:
        SadclError: a table is damaged.
    """
    own = read_photo_list(version)
    earlier = None if champion is None else read_photo_list(champion)
    here = None if project is None else read_photo_list(project)
    photos = {**_since_champion(own, earlier), **_in_project(own, here)}
    examples = {kind: [_entry(*pair) for pair in photos[kind][:MOST_EXAMPLES]] for kind in KINDS}
    look_alikes = list(_look_alikes(own, here))
    for entry in (*chain(*examples.values()), *(pair[side] for pair in look_alikes for side in ("test", "other"))):
        entry["path"] = _path(here, entry["sha256"])
    return {
        "has_champion": earlier is not None,
        "has_project": here is not None,
        "splits": _splits(own, earlier),
        "classes": {
            "added": _names(own.classes, earlier.classes) if earlier else [],
            "removed": _names(earlier.classes, own.classes) if earlier else [],
        },
        "counts": {kind: len(photos[kind]) for kind in KINDS},
        "examples": examples,
        "look_alikes": look_alikes,
    }


Pairs = list[tuple[Photo, Photo | None]]
"""Photos to show, each with its earlier state where there is one."""


def _since_champion(own: PhotoList, champion: PhotoList | None) -> dict[str, Pairs]:
    """Photos that were added, removed, relabelled or moved to another split since the champion."""
    if champion is None:
        return {kind: [] for kind in SINCE_CHAMPION}
    changes = differences(champion, own)
    return {
        "added": [(photo, None) for photo in changes.added],
        "removed": [(photo, None) for photo in changes.removed],
        "relabelled": [(after, before) for before, after in changes.relabelled],
        "moved": [(after, before) for before, after in changes.moved],
    }


def _in_project(own: PhotoList, project: PhotoList | None) -> dict[str, Pairs]:
    """Photos that this project tests on, does not have, or has with other labels."""
    if project is None:
        return {kind: [] for kind in IN_PROJECT}
    changes = differences(project, own)
    return {
        "test_here": [(photo, here) for here, photo in changes.moved if here.split == "test"],
        "unknown": [(photo, None) for photo in changes.added],
        "other_labels": [(photo, here) for here, photo in changes.relabelled],
    }


def _splits(own: PhotoList, champion: PhotoList | None) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for split in SPLITS:
        after = _in_split(own, split)
        row = {"split": split, "version": len(after), "champion": None, "added": None, "removed": None}
        if champion is not None:
            before = _in_split(champion, split)
            row |= {"champion": len(before), "added": len(after - before), "removed": len(before - after)}
        rows.append(row)
    return rows


def _in_split(photos: PhotoList, split: str) -> set[str]:
    return {digest for digest, photo in photos.photos.items() if photo.split == split}


def _look_alikes(own: PhotoList, project: PhotoList | None) -> Iterator[dict[str, Any]]:
    """Pairs that this project found among the version's photos, then those that the version's table names."""
    shown: set[tuple[str, str]] = set()
    for table, here in ((project, True), (own, False)):
        if table is None or (not here and project is not None and own.photos.keys() <= project.photos.keys()):
            continue  # the project has looked at all of these photos itself
        photos = table.by_id
        for test, other, transform, similarity in table.look_alikes:
            first, second = photos.get(test), photos.get(other)
            if first is None or second is None or not {first.sha256, second.sha256} <= own.photos.keys():
                continue
            if (first.sha256, second.sha256) in shown:
                continue
            if len(shown) == MOST_EXAMPLES:
                return
            shown.add((first.sha256, second.sha256))
            yield {
                "test": _entry(first), "other": _entry(second), "transform": transform, "similarity": similarity,
                "here": here,
            }  # fmt: skip


def _path(project: PhotoList | None, digest: str) -> str:
    """Path of a photo in this project, relative to it; empty where the project does not have it."""
    return f"{project.source}/{project.photos[digest].file}" if project and digest in project.photos else ""


def _entry(photo: Photo, before: Photo | None = None) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "sha256": photo.sha256, "file": photo.file, "split": photo.split, "labels": shown_labels(photo),
    }  # fmt: skip
    if before is not None:
        entry |= {"split_before": before.split, "labels_before": shown_labels(before)}
    return entry


def shown_labels(photo: Photo) -> list[str]:
    """Names of the labels of a photo, the unsure ones last."""
    return [*sorted(photo.labels), *(f"{name} (unsure)" for name in sorted(photo.ignored))][:MOST_NAMES]


def _names(these: Iterable[str], others: Iterable[str]) -> list[str]:
    """Names among the first that are not among the others."""
    excluded = set(others)
    return [name for name in these if name not in excluded][:MOST_NAMES]


def photo_of(value: Mapping[str, Any], kind: str, index: int) -> dict[str, Any]:
    """Entry of an example, or of the photo of a look-alike (kinds ``test`` and ``other``).

    Raises:
        LookupError: there is no such photo.
    """
    if kind in ("test", "other"):
        return dict(value["look_alikes"][index][kind])
    return dict(value["examples"][kind][index])
