"""Acceptance of a project's criteria by a reviewer, as a decision of its own."""

from pathlib import Path

from sadcl.errors import SadclError
from sadcl.registry import client, criteria, identity
from sadcl.registry.audit import log
from sadcl.registry.promote import require_reason
from sadcl.verification.inputs import load_inputs

ACCEPTED = "The accepted criteria count from now on; each version is verified again before it can be promoted."


def compare_project(root: Path = Path(".")) -> tuple[list[str], bool]:
    """Describe the accepted criteria, and how those of a project differ.

    Returns:
        Lines, and whether the criteria are equal.

    Raises:
        SadclError: the registry can't be reached, or the test photos are not here.
    """
    protected = load_inputs(root)
    if not client.registry_exists(root):
        return ["Nothing is registered yet; the first promotion accepts the criteria of this project."], True
    with client.connect(root) as connection:
        accepted = criteria.accepted(connection, protected.name)
    if accepted is None:
        return ["No criteria are accepted yet. `sadcl criteria --accept` accepts those of this project."], False
    lines = [f"Accepted by {accepted.user}, {accepted.time}: {accepted.reason}"]
    changes = criteria.changes(accepted.criteria, protected.criteria)
    if accepted.criteria.digest == protected.criteria.digest:
        return [*lines, "This project has the accepted rules, test photos and labels."], True
    return [*lines, "This project differs:", *(f"  {change}" for change in changes)], False


def accept_project(reason: str, expected: str | None = None, root: Path = Path(".")) -> str:
    """Accept the criteria of a project.

    Args:
        reason: for the registry's ledger.
        expected: digest of the criteria that the reviewer read; None stands for the present ones.
        root: the project.

    Returns:
        A sentence about the result.

    Raises:
        SadclError: there is no reason, they are accepted already, they have changed since, or the registry refuses.
    """
    require_reason(reason)
    protected = load_inputs(root)
    if expected is not None and expected != protected.criteria.digest:
        raise SadclError("The criteria have changed since you looked at them", fix="Read them again, then decide")
    with client.connect(root, changing=True) as connection:
        accepted = criteria.accepted(connection, protected.name)
        if accepted is not None and accepted.criteria.digest == protected.criteria.digest:
            raise SadclError("These criteria are accepted already", where=root.resolve())
        user = identity.decider(root)
        criteria.accept(connection, protected.name, protected.criteria, user, reason, log.now())
    return ACCEPTED
