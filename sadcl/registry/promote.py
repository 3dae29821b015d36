"""A person makes a version the champion, rejects it, or goes back: checks first, then one step, then the repair.

Whoever decides is whom the server knows by the log-in; it refuses what is not theirs (``sadcl.guard``).
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sadcl import layout, params
from sadcl.errors import SadclError
from sadcl.registry import artifacts, decision, eligibility, identity, lookup, schema
from sadcl.registry import client as store
from sadcl.registry.audit import log
from sadcl.registry.sync import champion_record, reconcile, require_no_champion_file

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CHALLENGERS = "`sadcl status` says who does"


@dataclass(frozen=True)
class Promotion:
    """The model in production after a decision.

    Attributes:
        name: of the registered model in production.
        version: its number there, as text.
        source: the registered version that it is a copy of, ``models:/NAME/VERSION``.
        weights: SHA-256 of its weights file.
        words: what happened, as a sentence.
    """

    name: str
    version: str
    source: str
    weights: str
    words: str


@dataclass(frozen=True)
class Rejection:
    """A version that challenges no longer.

    Attributes:
        name: of the registered model.
        version: its number, as text.
        words: what happened, as a sentence.
    """

    name: str
    version: str
    words: str


def promote(
    version: str | int, reason: str, *, first: bool = False, seen: str | None = None, root: Path = Path(".")
) -> Promotion:
    """Make a registered version the champion.

    Args:
        version: of the registered model.
        reason: why; it stands in the audit.
        first: there is no champion yet, and this is said on purpose.
        seen: digest of the verdict that the person looked at; None decides on the one that is there.
        root: the project's folder.

    Raises:
        SadclError: the verdict is another than ``seen``, is no pass or was made against another champion, a file
            is not the one that was registered, there is no reason, or ``first`` is wrong. Nothing was changed.
    """
    _reasoned(reason)
    name = _name(root)
    with store.connect(root, changing=True) as client:
        reconcile(client, name, root)
        candidate = lookup.version(client, name, version)
        reigning = lookup.version_with_alias(client, schema.production(name), schema.CHAMPION)
        _may_begin(reigning, first, root)
        _require_eligible(candidate, reigning, seen, schema.PROMOTE)
        _verify_files(client, candidate)
        copy = _copy(client, candidate, schema.production(name))
        _set_champion(client, copy, reigning, _promotes(candidate), reason, root)
        reconcile(client, name, root)
    return _champion(copy, f"Version {candidate.version} of {name} is champion now, as", reigning)


def rollback(reason: str, *, root: Path = Path(".")) -> Promotion:
    """Make the previous champion the champion again; the present one becomes the previous.

    Raises:
        SadclError: there is no reason, no champion, or none before it. Nothing was changed.
    """
    _reasoned(reason)
    name = _name(root)
    production = schema.production(name)
    with store.connect(root, changing=True) as client:
        reconcile(client, name, root)
        reigning = lookup.version_with_alias(client, production, schema.CHAMPION)
        previous = lookup.version_with_alias(client, production, schema.PREVIOUS)
        if reigning is None or previous is None or previous.version == reigning.version:
            raise SadclError("There is no previous champion to go back to", where=production)
        _verify_files(client, previous)
        _set_champion(client, previous, reigning, {"action": schema.ROLLBACK}, reason, root)
        reconcile(client, name, root)
    return _champion(previous, "Back to", reigning)


def reject(version: str | int, reason: str, *, seen: str | None = None, root: Path = Path(".")) -> Rejection:
    """Take the challenge from a version; only another verdict makes it challenge again.

    Args:
        version: of the registered model, which challenges.
        reason: why; it stands in the audit.
        seen: digest of the verdict that the person looked at; None decides on the one that is there.
        root: the project's folder.

    Raises:
        SadclError: it does not challenge, its verdict is another than ``seen``, or there is no reason. Nothing was
            changed.
    """
    _reasoned(reason)
    name = _name(root)
    with store.connect(root, changing=True) as client:
        reconcile(client, name, root)
        candidate = lookup.version(client, name, version)
        reigning = lookup.version_with_alias(client, schema.production(name), schema.CHAMPION)
        _require_eligible(candidate, reigning, seen, schema.REJECT)
        if schema.CHALLENGER not in candidate.aliases:
            raise SadclError("This version does not challenge", where=lookup.address(candidate), fix=CHALLENGERS)
        decided = {
            "action": schema.REJECT,
            "model": name,
            "from": None,
            "to": None,
            "challenger": lookup.address(candidate),
            "weights": str(candidate.tags.get(schema.WEIGHTS, "")),
            "verdict": candidate.tags.get(schema.VERDICT_DIGEST),
            **_by(reason, root),
        }
        _decide(client, candidate, decided)
        reconcile(client, name, root)
    return Rejection(
        name, str(candidate.version), f"Version {candidate.version} of {name} is rejected. Commit {layout.AUDIT_LOG}."
    )


def _reasoned(reason: str) -> None:
    if not reason.strip():
        raise SadclError("A decision needs a reason", fix='Say why: --reason "..."')


def _name(root: Path) -> str:
    if not store.exists(root):
        raise SadclError("Nothing is registered yet", where=root, fix="Run `sadcl register` first")
    return params.load("register", path=root / params.FILE).register_.name


def _may_begin(reigning: "ModelVersion | None", first: bool, root: Path) -> None:
    """The very first champion is named as such, and only that one."""
    if reigning is None:
        require_no_champion_file(root)
        if not first:
            raise SadclError("There is no champion yet to compare with", fix="Say --first if this one is to begin")
    elif first:
        raise SadclError(
            f"There is a champion already: {reigning.name} version {reigning.version}", fix="Leave --first out"
        )


def _require_eligible(
    candidate: "ModelVersion", champion: "ModelVersion | None", seen: str | None, action: str
) -> None:
    """Raise the first objection; without ``seen`` the decision stands on the verdict that is there now."""
    digest = candidate.tags.get(schema.VERDICT_DIGEST) if seen is None else seen
    rejection, champion_tags = decision.rejection(candidate), champion and champion.tags
    for objection in eligibility.objections(candidate.tags, champion_tags, rejection, digest, action):
        raise SadclError(objection.what, where=lookup.address(candidate), fix=objection.fix)


def _promotes(candidate: "ModelVersion") -> dict[str, str | None]:
    return {"action": schema.PROMOTE, "verdict": candidate.tags.get(schema.VERDICT_DIGEST)}


def _verify_files(client: "MlflowClient", version: "ModelVersion") -> None:
    with tempfile.TemporaryDirectory() as folder:
        artifacts.check_all(client, version, Path(folder))


def _copy(client: "MlflowClient", candidate: "ModelVersion", production: str) -> "ModelVersion":
    """The version in production that is this one: there already (an earlier reign, or a killed call), or copied."""
    source = lookup.address(candidate)
    for version in lookup.versions(client, production):
        if version.source == source and version.tags.get(artifacts.PINS) == candidate.tags[artifacts.PINS]:
            return version
    return client.copy_model_version(source, production)


def _set_champion(
    client: "MlflowClient",
    version: "ModelVersion",
    reigning: "ModelVersion | None",
    act: dict[str, str | None],
    reason: str,
    root: Path,
) -> None:
    """Write the decision on the version, then move the alias: the one step in which the champion changes."""
    decided = {
        **act,
        "model": str(version.name),
        "from": str(reigning.version) if reigning is not None else None,
        "to": str(version.version),
        "challenger": str(version.source),
        "weights": champion_record(version)["weights"],
        **_by(reason, root),
    }
    _decide(client, version, decided)
    now = lookup.version_with_alias(client, version.name, schema.CHAMPION)
    if (now and now.version) != (reigning and reigning.version):
        raise SadclError(
            "Somebody else made another model champion just now", where=version.name, fix=eligibility.REGISTER_AGAIN
        )
    client.set_registered_model_alias(version.name, schema.CHAMPION, version.version)


def _by(reason: str, root: Path) -> dict[str, str]:
    return {"reason": reason.strip(), "user": identity.decider(root), "time": log.now()}


def _decide(client: "MlflowClient", version: "ModelVersion", decided: dict[str, Any]) -> None:
    """What makes it so; all else is repaired from it."""
    client.set_model_version_tag(version.name, version.version, schema.DECISION, decision.decision_text(decided))


def _champion(version: "ModelVersion", what: str, reigning: "ModelVersion | None") -> Promotion:
    place = f"{version.name} version {version.version}"
    after = f"; version {reigning.version} is the previous one" if reigning is not None else ""
    return Promotion(
        str(version.name), str(version.version), str(version.source), champion_record(version)["weights"],
        f"{what} {place}{after}. Commit data/champion.json, data/champion.dvc and {layout.AUDIT_LOG}.",
    )  # fmt: skip
