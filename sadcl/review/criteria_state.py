"""Acceptance criteria as the review page shows them."""

from dataclasses import dataclass
from typing import Any

from sadcl import files
from sadcl.registry.criteria import Acceptance, Criteria, changes, read_acceptance
from sadcl.registry.verified import SCORES
from sadcl.review import criteria_photos
from sadcl.review.context import AppContext
from sadcl.review.sessions import Session


@dataclass(frozen=True)
class CriteriaState:
    """Acceptance criteria as the page shows them.

    Attributes:
        accepted: the accepted ones; None where nobody has accepted any.
        project: those of the project.
        changes: sentences about what differs.
        photos: test photos that were added, removed or relabelled; None where nothing differs, or the verifier has kept
            no list of the accepted ones.
    """

    accepted: Acceptance | None
    project: Criteria
    changes: list[str]
    photos: dict[str, Any] | None = None

    @property
    def is_open(self) -> bool:
        """Whether a reviewer has to decide about the criteria of the project."""
        return self.accepted is None or self.accepted.criteria.digest != self.project.digest


def read_state(context: AppContext, session: Session) -> CriteriaState:
    """The accepted criteria, and how those of the project differ.

    Raises:
        SadclError: the test photos are not here, or the registry can't be reached.
    """
    from sadcl.verification.inputs import load_inputs

    registry = context.registry
    snapshot, inputs = registry.snapshot(session), load_inputs(registry.root)
    accepted, project = read_acceptance(snapshot.accepted), inputs.criteria
    if accepted is None:
        return CriteriaState(None, project, [])
    photos, record = None, criteria_photos.accepted_record(snapshot, accepted)
    before = accepted.criteria
    if record is not None and (before.test_list, before.labels) != (project.test_list, project.labels):
        path = registry.verified_file(session, record, SCORES)
        key = files.digest_of(["test photos 2", record.files[SCORES], project.shards, project.labels])
        photos = context.cache.value(key, lambda: criteria_photos.compare(path, inputs.test))
    return CriteriaState(accepted, project, changes(before, project), photos)
