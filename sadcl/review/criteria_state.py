"""Acceptance criteria as the review page shows them."""

from dataclasses import dataclass
from pathlib import Path

from sadcl.registry.criteria import Acceptance, Criteria, changes, read_acceptance
from sadcl.review.snapshot import RegistrySnapshot


@dataclass(frozen=True)
class CriteriaState:
    """Acceptance criteria as the page shows them.

    Attributes:
        accepted: the accepted ones; None where nobody has accepted any.
        project: those of the project.
        changes: sentences about what differs.
    """

    accepted: Acceptance | None
    project: Criteria
    changes: list[str]

    @property
    def is_open(self) -> bool:
        """Whether a reviewer has to decide about the criteria of the project."""
        return self.accepted is None or self.accepted.criteria.digest != self.project.digest


def read_state(snapshot: RegistrySnapshot, root: Path) -> CriteriaState:
    """The accepted criteria, and how those of the project differ.

    Raises:
        SadclError: the test photos are not here.
    """
    from sadcl.verification.inputs import load_inputs

    accepted, project = read_acceptance(snapshot.accepted), load_inputs(root).criteria
    return CriteriaState(accepted, project, [] if accepted is None else changes(accepted.criteria, project))
