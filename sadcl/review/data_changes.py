"""Photos and labels behind a version, compared with the champion's and with those of this project.

A photo is known by the SHA-256 of its bytes. Which photos a model has learned from can't be computed from its weights:
its author registered the table, and only the comparison with the project is this page's own.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from sadcl.data.photo_list import Photo, PhotoList, read_photo_list
from sadcl.data.table import SPLITS

FORMAT = 2
"""Version of the value that ``compare`` returns; part of its cache key."""
MOST_EXAMPLES, MOST_NAMES = 6, 20
"""Photos that are shown of each kind of change; names of classes."""
SINCE_CHAMPION = ("added", "removed", "relabelled", "moved")
AGAINST_PROJECT = ("test_here", "unknown", "other_labels")
"""Kinds of difference: a test photo of the project in another split of the version, a photo that the project does not
have, and one that has other labels there."""
KINDS = (*SINCE_CHAMPION, *AGAINST_PROJECT)


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
    rival = None if champion is None else read_photo_list(champion)
    known = None if project is None else read_photo_list(project)
    changes = {**_since(own, rival), **_against(own, known)}
    examples = {kind: changes[kind][:MOST_EXAMPLES] for kind in KINDS}
    look_alikes = list(_look_alikes(own, known))
    for entry in (*chain(*examples.values()), *(pair[side] for pair in look_alikes for side in ("test", "other"))):
        entry["path"] = _path(known, entry["sha256"])
    return {
        "has_champion": rival is not None,
        "has_project": known is not None,
        "splits": _splits(own, rival),
        "classes": {
            "added": _names(own.classes, () if rival is None else rival.classes) if rival else [],
            "removed": _names(rival.classes, own.classes) if rival else [],
        },
        "counts": {kind: len(changes[kind]) for kind in KINDS},
        "examples": examples,
        "look_alikes": look_alikes,
    }


def _since(own: PhotoList, rival: PhotoList | None) -> dict[str, list[dict[str, Any]]]:
    """Photos that were added, removed, relabelled or moved to another split since the champion."""
    if rival is None:
        return {kind: [] for kind in SINCE_CHAMPION}
    before, after = rival.photos, own.photos
    shared = set(own.classes) & set(rival.classes)
    both = [(before[digest], photo) for digest, photo in after.items() if digest in before]
    return {
        "added": [_entry(photo) for digest, photo in after.items() if digest not in before],
        "removed": [_entry(photo) for digest, photo in before.items() if digest not in after],
        "relabelled": [_entry(new, old) for old, new in both if old.labels & shared != new.labels & shared],
        "moved": [_entry(new, old) for old, new in both if old.split != new.split],
    }


def _against(own: PhotoList, known: PhotoList | None) -> dict[str, list[dict[str, Any]]]:
    """Photos that this project tests on, does not have, or has with other labels."""
    if known is None:
        return {kind: [] for kind in AGAINST_PROJECT}
    here, shared = known.photos, set(own.classes) & set(known.classes)
    return {
        "test_here": [
            _entry(photo, here[digest])
            for digest, photo in own.photos.items()
            if digest in here and here[digest].split == "test" != photo.split
        ],
        "unknown": [_entry(photo) for digest, photo in own.photos.items() if digest not in here],
        "other_labels": [
            _entry(photo, here[digest])
            for digest, photo in own.photos.items()
            if digest in here and photo.labels & shared != here[digest].labels & shared
        ],
    }


def _splits(own: PhotoList, rival: PhotoList | None) -> list[dict[str, Any]]:
    rows = []
    for split in SPLITS:
        after = {digest for digest, photo in own.photos.items() if photo.split == split}
        before = set() if rival is None else {d for d, photo in rival.photos.items() if photo.split == split}
        rows.append(
            {
                "split": split, "version": len(after), "champion": None if rival is None else len(before),
                "added": len(after - before) if rival else None, "removed": len(before - after) if rival else None,
            }
        )  # fmt: skip
    return rows


def _look_alikes(own: PhotoList, known: PhotoList | None) -> Iterator[dict[str, Any]]:
    """Pairs that this project found among the version's photos, then those that the version's table names."""
    shown: set[tuple[str, str]] = set()
    for table, here in ((known, True), (own, False)):
        if table is None or (not here and known is not None and own.photos.keys() <= known.photos.keys()):
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


def _path(known: PhotoList | None, digest: str) -> str:
    """Path of a photo in this project, relative to it; empty where the project does not have it."""
    return f"{known.source}/{known.photos[digest].file}" if known is not None and digest in known.photos else ""


def _entry(photo: Photo, before: Photo | None = None) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "sha256": photo.sha256, "file": photo.file, "split": photo.split, "labels": sorted(photo.labels)[:MOST_NAMES],
    }  # fmt: skip
    if before is not None:
        entry |= {"split_before": before.split, "labels_before": sorted(before.labels)[:MOST_NAMES]}
    return entry


def _names(these: Iterable[str], others: Iterable[str]) -> list[str]:
    """Names among the first that are not among the others."""
    known = set(others)
    return [name for name in these if name not in known][:MOST_NAMES]


def photo_of(value: Mapping[str, Any], kind: str, index: int) -> dict[str, Any]:
    """Entry of an example, or of the photo of a look-alike (kinds ``test`` and ``other``).

    Raises:
        LookupError: there is no such photo.
    """
    if kind in ("test", "other"):
        return dict(value["look_alikes"][index][kind])
    return dict(value["examples"][kind][index])
