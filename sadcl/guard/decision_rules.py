"""A decision as the server sees it: by who is logged in, on what is the case now."""

from typing import Any

from mlflow.entities.model_registry import ModelVersion

from sadcl.guard import authorship, ledger, mlflow_internals
from sadcl.guard.mlflow_internals import Refused
from sadcl.registry import decision, lookup, schema
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
    if decided["action"] == schema.PROMOTE:
        _passed(candidate, reigning, decided.get("verdict"))
    elif not _reigned(version):
        raise Refused(f"{where} was never champion, so nobody can go back to it")
    if candidate is not None and (rejected := decision.rejection(candidate)):
        raise Refused(f"{lookup.address(candidate)} was rejected by {rejected['user']}: {rejected['reason']}")


def _passed(candidate: ModelVersion, reigning: ModelVersion | None, seen: str | None) -> None:
    """By the verdict that stands on it, and against who reigns now."""
    where = lookup.address(candidate)
    if candidate.tags.get(schema.VERDICT) != "pass":
        raise Refused(f"{where} has not passed its gate: {candidate.tags.get(schema.VERDICT, 'nobody judged it')}")
    if not seen or seen != candidate.tags.get(schema.VERDICT_DIGEST):
        raise Refused(f"{where} was judged anew since it was looked at")
    if candidate.tags.get(schema.JUDGED_AGAINST, "") != (reigning.tags.get(schema.WEIGHTS, "?") if reigning else ""):
        raise Refused(f"The champion has changed since the gate judged {where}")


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
    if decided.get("verdict") != version.tags.get(schema.VERDICT_DIGEST):
        raise Refused(f"{where} was judged anew since it was looked at")
    if rejected := decision.rejection(version):
        raise Refused(f"{where} was rejected already, by {rejected['user']}: {rejected['reason']}")
    if reigning is not None and reigning.source == where:
        raise Refused(f"{where} is champion already")


def _champion(production: str) -> ModelVersion | None:
    return mlflow_internals.version_with_alias(production, schema.CHAMPION)
