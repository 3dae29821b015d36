"""Verification as the last check of a promotion: what an author says of a version does not count.

A team's server has a verifier, whose record its guard requires too. Without one the person who promotes verifies here,
and the record says what this machine computed.
"""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sadcl import params
from sadcl.errors import SadclError
from sadcl.registry import client, criteria, eligibility, identity, lookup, schema, verified
from sadcl.registry.audit import log
from sadcl.registry.promote import require_eligible, require_reason

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

    from sadcl.verification.inputs import Inputs


def prepare(number: str | int, reason: str, first: bool = False, root: Path = Path(".")) -> None:
    """Do what a promotion rests on: accept the criteria of the first champion; without a verifier, verify the version.

    Args:
        number: of the registered version.
        reason: of the decision, for the criteria.
        first: there is no champion yet, so the criteria of this project become the accepted ones if there are none.
        root: the project.

    Raises:
        SadclError: the version can't be verified, or this project has other criteria than the accepted ones.
    """
    from sadcl.verification.inputs import load_inputs  # its libraries take a second, which a page would wait for

    require_reason(reason)
    if not client.registry_exists(root):
        return  # the promotion itself says so
    name = params.load("register", path=root / params.FILE).register_.name
    with client.connect(root) as connection:
        has_verifier = connection.get_experiment_by_name(schema.verification(name)) is not None
        accepted = criteria.accepted(connection, name)
        champion = lookup.version_with_alias(connection, schema.production(name), schema.CHAMPION)
        if champion is None and not first:
            return  # the promotion itself says so
        if accepted is None and champion is not None:
            raise SadclError(
                "Nobody has accepted the rules and the test photos by which models are judged", where=name,
                fix="Accept those of this project: `sadcl criteria --accept --reason TEXT`",
            )  # fmt: skip
        if has_verifier and accepted is not None:
            return
        candidate = lookup.get_version(connection, name, number)
        require_eligible(candidate, champion)
        protected = load_inputs(root)
        if accepted is not None:
            require_accepted(accepted, protected)
        if not has_verifier:
            candidate = _verify(connection, candidate, champion, protected)
        if accepted is None:
            _require_pass(candidate, protected)
            criteria.accept(connection, name, protected.criteria, identity.decider(root), reason, log.now())


def _require_pass(candidate: "ModelVersion", protected: "Inputs") -> None:
    """Raise unless a version passes by a project's criteria, which become the accepted ones with it.

    Raises:
        SadclError: it is not verified, or not by these criteria, or does not pass.
    """
    for objection in eligibility.verification_objections(candidate.tags, None, protected.criteria.digest):
        raise SadclError(objection.sentence, where=lookup.model_uri(candidate), fix=objection.fix)


def require_accepted(accepted: criteria.Acceptance, protected: "Inputs") -> None:
    """Raise where a project has other criteria than the accepted ones.

    Raises:
        SadclError: with each difference.
    """
    if accepted.criteria.digest != protected.criteria.digest:
        changes = "; ".join(criteria.changes(accepted.criteria, protected.criteria))
        raise SadclError(
            f"The acceptance criteria of this project are not the accepted ones: {changes}",
            where=protected.root.resolve(),
            fix="Undo the change, or let a reviewer accept it: `sadcl criteria --accept --reason TEXT`",
        )


def require_verified(connection: "MlflowClient", candidate: "ModelVersion", champion: "ModelVersion | None") -> None:
    """Raise unless a version has a pass of the verifier for its weights, the accepted criteria and this champion.

    Args:
        connection: to the registry.
        candidate: the version to promote.
        champion: the version in production; None where there is none.

    Raises:
        SadclError: the first objection, with the claims that differ from what was verified.
    """
    accepted = criteria.accepted(connection, str(candidate.name))
    champion_tags = None if champion is None else champion.tags
    digest = None if accepted is None else accepted.criteria.digest
    for objection in eligibility.verification_objections(candidate.tags, champion_tags, digest):
        record = verified.read_record(candidate.tags)
        claims = "" if record is None else "; ".join(map(str, verified.differences(candidate.tags, record)))
        raise SadclError(
            objection.sentence + (f". Its author's claims differ: {claims}" if claims else ""),
            where=lookup.model_uri(candidate),
            fix=objection.fix,
        )


def _verify(
    connection: "MlflowClient",
    candidate: "ModelVersion",
    champion: "ModelVersion | None",
    protected: "Inputs",
) -> "ModelVersion":
    """Score and judge a version here, and write the record; the version with its new tag."""
    from sadcl.verification.verify import fetch, judge

    with tempfile.TemporaryDirectory() as folder:
        verification = judge(fetch(connection, candidate, champion, Path(folder)), protected)
    connection.set_model_version_tag(candidate.name, candidate.version, schema.VERIFIED, verification.record.text())
    return lookup.get_version(connection, candidate.name, candidate.version)
