"""Rules on verifications and acceptance criteria: each in the right name, and about this registry."""

from mlflow.entities.model_registry import ModelVersion

from sadcl.guard import mlflow_internals, permissions
from sadcl.guard.mlflow_internals import Refused
from sadcl.registry import artifacts, criteria, decision, lookup, schema, verified


def check_record(version: ModelVersion, text: str) -> None:
    """Refuse a record of a verification that the present account may not write, or that is about other weights.

    Raises:
        Refused: with the first rule that is broken.
    """
    uri, record = lookup.model_uri(version), verified.parse_record(text)
    if schema.protected(version.name):
        raise Refused(f"The verification of {uri} stands on the version that it copies")
    if not permissions.may_verify(version.name):
        raise Refused(f"Only the verifier writes {schema.VERIFIED}, which says what it computed")
    # Compared as text too: the ledger and a copied registry recognise a record by its text.
    if record is None or record.text() != text:
        raise Refused(f"The tag {schema.VERIFIED} of {uri} does not have the form that sadcl writes")
    if record.weights != artifacts.served_digest(version.tags):
        raise Refused(f"This verification is about other weights than those of {uri}")


def check_acceptance(model: str, text: str) -> criteria.Acceptance:
    """Acceptance criteria of a request; refused in another name, without a reason, or on an unprotected model.

    Raises:
        Refused: with the first rule that is broken.
    """
    accepted, user = criteria.read_acceptance(text), mlflow_internals.current_user()
    if not schema.protected(model):
        raise Refused(f"Acceptance criteria stand on {schema.production(model)}, where only reviewers write")
    if accepted is None or accepted.text() != text:
        raise Refused(f"The tag {schema.CRITERIA} of {model} does not have the form that sadcl writes")
    if accepted.user != user:
        raise Refused(f"You are logged in as {user}; accept criteria in your own name")
    if not decision.is_reason(accepted.reason):
        raise Refused("Acceptance criteria need a reason")
    return accepted
