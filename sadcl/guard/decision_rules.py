"""Rules on decisions: each in the name of its account, and about the state of the registry at this moment."""

from typing import Any

from mlflow.entities.model_registry import ModelVersion

from sadcl.guard import authorship, ledger, mlflow_internals
from sadcl.guard.mlflow_internals import Refused
from sadcl.registry import criteria, decision, eligibility, lookup, schema
from sadcl.registry.artifacts import PINS
from sadcl.registry.audit import hash_chain, replay


def check_decision(version: ModelVersion, text: str) -> None:
    """Refuse a decision in another name, without a reason, or against the promotion rules.

    Args:
        version: in production for a promotion or rollback, the registered one for a rejection.
        text: value of the tag ``sadcl.decision``.

    Raises:
        Refused: with the first rule that the decision breaks.
    """
    decided, uri = decision.read_decision(text), lookup.model_uri(version)
    # Compared as text too: the project's audit log and the ledger recognise a decision by its text.
    if not decided or decision.decision_text(decided) != text:
        raise Refused(f"The tag {schema.DECISION} of {uri} does not have the form that sadcl writes")
    if decided.get("user") != mlflow_internals.current_user():
        raise Refused(f"You are logged in as {mlflow_internals.current_user()}; decide on {uri} in your own name")
    if not decision.is_reason(str(decided.get("reason") or "")):
        raise Refused(f"A decision on {uri} needs a reason")
    if schema.protected(version.name):
        _check_champion(version, decided)
    else:
        _check_rejection(version, decided)


def require_decision(version: ModelVersion) -> None:
    """Refuse the alias ``champion`` for a version without a decision of the present account.

    Raises:
        Refused: with the first rule that is broken.
    """
    if schema.DECISION not in version.tags:
        raise Refused(f"{lookup.model_uri(version)} has no decision; `sadcl promote` writes one")
    # Checked again: between the tag and the alias somebody may have rejected it or promoted another version.
    check_decision(version, version.tags[schema.DECISION])


def _check_champion(version: ModelVersion, decided: dict[str, Any]) -> None:
    """Refuse a promotion or a rollback to a version in production."""
    uri, champion = lookup.model_uri(version), _champion(version.name)
    known = decided.get("action") in (schema.PROMOTE, schema.ROLLBACK)
    if not known or (decided.get("model"), decided.get("to")) != (version.name, str(version.version)):
        raise Refused(f"This decision does not make {uri} the champion")
    if champion is not None and str(champion.version) == str(version.version):
        raise Refused(f"{uri} is champion already")
    if decided.get("from") != (champion and str(champion.version)):  # two reviewers at once: the second is told
        raise Refused(f"Somebody else made another version of {version.name} champion just now")
    candidate = authorship.copy_source(version)
    # The verdict stands on the candidate, the bytes are the copy's: without equal pins it may be about other bytes.
    if candidate is None or any(version.tags.get(key) != candidate.tags.get(key) for key in (PINS, schema.WEIGHTS)):
        raise Refused(f"The digests of {uri} differ from those of its source")
    if decided["action"] == schema.ROLLBACK and not _was_champion(version):
        raise Refused(f"{uri} was never champion, so there is no way back to it")
    _require_eligible(candidate, champion, decided)
    if decided["action"] == schema.PROMOTE:
        _require_verified(candidate, champion, version.name)


def _check_rejection(version: ModelVersion, decided: dict[str, Any]) -> None:
    """Refuse a rejection of a registered version."""
    uri, champion = lookup.model_uri(version), _champion(schema.production(version.name))
    about = (decided.get("action"), decided.get("model"), decided.get("challenger"), decided.get("to"))
    if about != (schema.REJECT, version.name, uri, None):
        raise Refused(f"This decision does not reject {uri}")
    _require_eligible(version, champion, decided)
    # By the source too: versions from before the tags existed have no weights to compare.
    if champion is not None and champion.source == uri:
        raise Refused(f"{uri} is champion already")


def _require_eligible(candidate: ModelVersion, champion: ModelVersion | None, decided: dict[str, Any]) -> None:
    """Refuse with the first objection to a decision on a registered version."""
    rejection, champion_tags = decision.rejection(candidate), None if champion is None else champion.tags
    digest, action = decided.get("verdict"), decided["action"]
    for objection in eligibility.objections(candidate.tags, champion_tags, rejection, digest, action):
        raise Refused(f"{objection.sentence} ({lookup.model_uri(candidate)})")


def _require_verified(candidate: ModelVersion, champion: ModelVersion | None, production: str) -> None:
    """Refuse a promotion without a pass of the verifier for these weights, the accepted criteria and this champion."""
    acceptance = criteria.read_acceptance(mlflow_internals.model_tags(production).get(schema.CRITERIA, ""))
    accepted = None if acceptance is None else acceptance.criteria.digest
    champion_tags = None if champion is None else champion.tags
    for objection in eligibility.verification_objections(candidate.tags, champion_tags, accepted):
        raise Refused(f"{objection.sentence} ({lookup.model_uri(candidate)}). {objection.fix}")


def _was_champion(version: ModelVersion) -> bool:
    """Whether a version was champion before, by the ledger: no tag can say so, since clients write tags."""
    promotion = {"what": replay.ALIAS_SET, "model": version.name, "alias": schema.CHAMPION, "to": str(version.version)}
    # Without lines whose change failed: they name versions that never became champion.
    lines = hash_chain.done(hash_chain.lines(ledger.path()), ledger.path())
    return any(promotion.items() <= line.items() for line in lines)


def _champion(production: str) -> ModelVersion | None:
    return mlflow_internals.version_with_alias(production, schema.CHAMPION)
