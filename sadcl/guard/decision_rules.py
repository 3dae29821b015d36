"""A decision as the server sees it: by who is logged in, on what is the case now."""

from typing import Any

from mlflow.entities.model_registry import ModelVersion

from sadcl.guard import authorship, ledger, mlflow_internals
from sadcl.guard.mlflow_internals import Refused
from sadcl.registry import decision, eligibility, lookup, schema
from sadcl.registry.artifacts import PINS
from sadcl.registry.audit import hash_chain


def check(version: ModelVersion, text: str) -> None:
    """Refuse a decision that is not its writer's own, has no reason, or comes too late.

    Raises:
        Refused: with what is wrong.
    """
    decided, where = decision.read_decision(text), lookup.address(version)
    if not decided or decision.decision_text(decided) != text:
        raise Refused(f"The tag {schema.DECISION} of {where} is no decision as sadcl writes it")
    if decided.get("user") != mlflow_internals.user():
        raise Refused(f"A decision on {where} is written in one's own name, {mlflow_internals.user()}")
    if not str(decided.get("reason") or "").strip():
        raise Refused(f"A decision on {where} needs a reason")
    if schema.protected(version.name):
        _crowns(version, decided)
    else:
        _rejects(version, decided)


def require(version: ModelVersion) -> None:
    """Refuse the alias where no decision stands: this person's, on this version, against who reigns now.

    Raises:
        Refused: with what is wrong.
    """
    if schema.DECISION not in version.tags:
        raise Refused(f"No decision stands on {lookup.address(version)}; `sadcl promote` writes one")
    check(version, version.tags[schema.DECISION])


def _crowns(version: ModelVersion, decided: dict[str, Any]) -> None:
    where, reigning = lookup.address(version), _champion(version.name)
    known = decided.get("action") in (schema.PROMOTE, schema.ROLLBACK)
    if not known or (decided.get("model"), decided.get("to")) != (version.name, str(version.version)):
        raise Refused(f"This is no decision to make {where} champion")
    if reigning is not None and str(reigning.version) == str(version.version):
        raise Refused(f"{where} is champion already")
    if decided.get("from") != (reigning and str(reigning.version)):
        raise Refused(f"Somebody else made another version of {version.name} champion just now")
    candidate = authorship.copied(version)
    if candidate is None or any(version.tags.get(key) != candidate.tags.get(key) for key in (PINS, schema.WEIGHTS)):
        raise Refused(f"{where} does not carry the digests of what it is a copy of")
    if decided["action"] == schema.ROLLBACK and not _reigned(version):
        raise Refused(f"{where} was never champion, so nobody can go back to it")
    _require_eligible(candidate, reigning, decided)


def _require_eligible(candidate: ModelVersion, champion: ModelVersion | None, decided: dict[str, Any]) -> None:
    """Refuse with the first objection to a decision on a registered version."""
    rejection, champion_tags = decision.rejection(candidate), champion and champion.tags
    seen, action = decided.get("verdict"), decided["action"]
    for objection in eligibility.objections(candidate.tags, champion_tags, rejection, seen, action):
        raise Refused(f"{objection.what} ({lookup.address(candidate)})")


def _reigned(version: ModelVersion) -> bool:
    """Whether the ledger has it as champion."""
    crowned = {"what": "alias set", "model": version.name, "alias": schema.CHAMPION, "to": str(version.version)}
    lines = hash_chain.done(hash_chain.lines(ledger.path()), ledger.path())
    return any(crowned.items() <= line.items() for line in lines)


def _rejects(version: ModelVersion, decided: dict[str, Any]) -> None:
    where, reigning = lookup.address(version), _champion(schema.production(version.name))
    ours = (decided.get("action"), decided.get("model"), decided.get("challenger"), decided.get("to"))
    if ours != (schema.REJECT, version.name, where, None):
        raise Refused(f"This is no decision to reject {where}")
    _require_eligible(version, reigning, decided)
    if reigning is not None and reigning.source == where:
        raise Refused(f"{where} is champion already")


def _champion(production: str) -> ModelVersion | None:
    return mlflow_internals.version_with_alias(production, schema.CHAMPION)
