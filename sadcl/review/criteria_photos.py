"""Test photos and labels of the project, compared with those of the last verification by the accepted criteria."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sadcl.evaluation.scores import Scores, read_scores
from sadcl.registry.criteria import Acceptance
from sadcl.registry.verified import SCORES, VerifiedRecord, read_record
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


def compare(before: Path, test: "Shards") -> dict[str, list[dict[str, Any]]]:
    """Test photos that were added, removed or relabelled.

    Args:
        before: scores file of the verifier, with the photos and labels of that time.
        test: the test photos of the project.

    Returns:
        By ``added``, ``removed`` and ``relabelled``: photos with image_id, labels and labels_before.

    Raises:
        SadclError: the file is damaged.
    """
    old = read_scores(before)
    earlier, present = (
        _labels(old.sha256, old.ids, old.classes, old),
        _labels(test.sha256, test.ids, test.classes, test),
    )
    shared = set(old.classes) & set(test.classes)
    both = [(earlier[digest], entry) for digest, entry in present.items() if digest in earlier]
    return {
        "added": [entry for digest, entry in present.items() if digest not in earlier],
        "removed": [entry for digest, entry in earlier.items() if digest not in present],
        "relabelled": [
            {**after, "labels_before": previous["labels"]}
            for previous, after in both
            if shared & set(previous["labels"]) != shared & set(after["labels"])
        ],
    }


def _labels(
    digests: Iterable[str], ids: Iterable[str], classes: Iterable[str], photos: "Scores | Shards"
) -> dict[str, dict[str, Any]]:
    """Id and labels of each photo, by the SHA-256 of its bytes."""
    names = list(classes)
    return {
        digest: {"image_id": image_id, "labels": [names[j] for j in row.nonzero()[0]]}
        for digest, image_id, row in zip(digests, ids, photos.targets & ~photos.ignored, strict=True)
    }
