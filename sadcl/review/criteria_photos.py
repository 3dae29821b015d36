"""Test photos and labels of the project, compared with those of the last verification by the accepted criteria."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sadcl.data.photo_list import Photo, PhotoList, differences
from sadcl.evaluation.scores import Scores, read_scores
from sadcl.registry.criteria import Acceptance
from sadcl.registry.verified import SCORES, VerifiedRecord, read_record
from sadcl.review.data_changes import shown_labels
from sadcl.review.snapshot import RegistrySnapshot

if TYPE_CHECKING:
    from sadcl.data.shards.reader import Shards

MOST_EXAMPLES = 12
"""Photos of each kind that are shown."""


def accepted_record(snapshot: RegistrySnapshot, accepted: Acceptance | None) -> VerifiedRecord | None:
    """The newest record with scores that the verifier wrote under the accepted criteria; None without one."""
    if accepted is None:
        return None
    records = [read_record(version.tags) for version in snapshot.versions]
    digest = accepted.criteria.digest
    return next((record for record in records if record and record.criteria == digest and SCORES in record.files), None)


def compare(before: Path, test: "Shards") -> dict[str, Any]:
    """Test photos that were added, removed or relabelled.

    Args:
        before: scores file of the verifier, with the photos and labels of that time.
        test: the test photos of the project.

    Returns:
        JSON value. By ``added``, ``removed`` and ``relabelled``: ``count``, and the first ``photos`` with image_id,
        labels and labels_before.

    Raises:
        SadclError: the file is damaged.
    """
    changes = differences(_photo_list(read_scores(before)), _photo_list(test))
    photos: dict[str, list[tuple[Photo, Photo | None]]] = {
        "added": [(photo, None) for photo in changes.added],
        "removed": [(photo, None) for photo in changes.removed],
        "relabelled": [(after, earlier) for earlier, after in changes.relabelled],
    }
    return {
        kind: {"count": len(pairs), "photos": [_entry(*pair) for pair in pairs[:MOST_EXAMPLES]]}
        for kind, pairs in photos.items()
    }


def _entry(photo: Photo, before: Photo | None) -> dict[str, Any]:
    entry: dict[str, Any] = {"image_id": photo.image_id, "labels": shown_labels(photo)}
    return entry if before is None else {**entry, "labels_before": shown_labels(before)}


def _photo_list(source: "Scores | Shards") -> PhotoList:
    """Photos of scores or shards; of equal files, the first."""
    names, photos = list(source.classes), dict[str, Photo]()
    for digest, image_id, present, ignored in zip(
        source.sha256, source.ids, source.targets & ~source.ignored, source.ignored, strict=True
    ):
        labels, unsure = (frozenset(names[j] for j in row.nonzero()[0]) for row in (present, ignored))
        photos.setdefault(digest, Photo(digest, image_id, "", "test", labels, unsure))
    return PhotoList(tuple(names), photos, "", ())
