"""Decisions of reviewers: promotion, rejection and rollback.

Each runs its checks, then changes the registry in one step, then repairs what follows from it. The server knows the
reviewer by the log-in, and its guard (``sadcl.guard``) checks again.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sadcl import layout, params
from sadcl.errors import SadclError
from sadcl.registry import artifacts, decision, eligibility, identity, lookup, schema
from sadcl.registry.audit import log
from sadcl.registry.client import connect, registry_exists
from sadcl.registry.sync import reconcile, require_no_champion_file

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

Check = Callable[["MlflowClient", "ModelVersion", "ModelVersion | None"], None]
"""Called with client, candidate and champion before a promotion; raises to refuse it."""


@dataclass(frozen=True)
class Promotion:
    """The model in production after a decision.

    Attributes:
        name: of the registered model in production.
        version: number in production, as text.
        source: registered version that it copies, ``models:/NAME/VERSION``.
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
    """A rejected version, which does not challenge.

    Attributes:
        name: of the registered model.
        version: its number, as text.
        words: what happened, as a sentence.
    """

    name: str
    version: str
    words: str


def promote(
    version: str | int,
    reason: str,
    *,
    first: bool = False,
    verdict_digest: str | None = None,
    root: Path = Path("."),
    check: Check | None = None,
) -> Promotion:
    """Make a registered version the champion.

    Args:
        version: number of the registered version.
        reason: for the audit log.
        first: confirms that there is no champion yet.
        verdict_digest: digest of the verdict that the reviewer read; None stands for the present one.
        root: the project's folder.
        check: the last check. Commands and pages pass ``sadcl.verification.promotion.require_verified``.

    Raises:
        SadclError: a promotion rule objects, a file is not the one that was registered, there is no reason, or
            ``first`` is wrong. Nothing was changed.
    """
    require_reason(reason)
    name = _name(root)
    with connect(root, changing=True) as client:
        reconcile(client, name, root)
        candidate = lookup.get_version(client, name, version)
        champion = lookup.version_with_alias(client, schema.production(name), schema.CHAMPION)
        _may_begin(champion, first, root)
        require_eligible(candidate, champion, verdict_digest, schema.PROMOTE)
        # last of the checks, since it downloads every file; before the first change
        _verify_files(client, candidate)
        if check is not None:
            check(client, candidate, champion)
        copy = _copy(client, candidate, schema.production(name))
        _set_champion(client, copy, champion, _promotion(candidate), reason, root)
        reconcile(client, name, root)
    return _describe(copy, f"Version {candidate.version} of {name} is champion now, as", champion)


def rollback(reason: str, *, champion_seen: str | None = None, root: Path = Path(".")) -> Promotion:
    """Make the previous champion the champion again; the present one becomes the previous.

    Args:
        reason: for the audit log.
        champion_seen: number of the champion, in the production model, that the reviewer saw; None stands for any.
        root: the project's folder.

    Raises:
        SadclError: there is no reason, no champion, none before it, that one was rejected since, or another version has
            become champion. Nothing was changed.
    """
    require_reason(reason)
    name = _name(root)
    production = schema.production(name)
    with connect(root, changing=True) as client:
        reconcile(client, name, root)
        champion = lookup.version_with_alias(client, production, schema.CHAMPION)
        previous = lookup.version_with_alias(client, production, schema.PREVIOUS)
        if champion is None or previous is None or previous.version == champion.version:
            raise SadclError("There is no previous champion to go back to", where=production)
        if champion_seen not in (None, str(champion.version)):
            raise SadclError("The champion has changed since you looked at it", where=production, fix="Look again")
        _require_not_rejected(client, name, previous, champion)
        _verify_files(client, previous)
        # no copy: the previous champion is a version of the production model already
        _set_champion(client, previous, champion, {"action": schema.ROLLBACK}, reason, root)
        reconcile(client, name, root)
    return _describe(previous, "Back to", champion)


def reject(version: str | int, reason: str, *, verdict_digest: str | None = None, root: Path = Path(".")) -> Rejection:
    """Reject a registered version, whatever its verdict; only a new verdict lets it challenge again.

    Args:
        version: number of the registered version.
        reason: for the audit log.
        verdict_digest: digest of the verdict that the reviewer read; None stands for the present one.
        root: the project's folder.

    Raises:
        SadclError: it is the champion or rejected already, its verdict has changed, or there is no reason. Nothing was
            changed.
    """
    require_reason(reason)
    name = _name(root)
    with connect(root, changing=True) as client:
        reconcile(client, name, root)
        candidate = lookup.get_version(client, name, version)
        champion = lookup.version_with_alias(client, schema.production(name), schema.CHAMPION)
        require_eligible(candidate, champion, verdict_digest, schema.REJECT)
        decided = {
            "action": schema.REJECT,
            "model": name,
            "from": None,
            "to": None,
            "challenger": lookup.model_uri(candidate),
            "weights": str(candidate.tags.get(schema.WEIGHTS, "")),
            "verdict": candidate.tags.get(schema.VERDICT_DIGEST),
            **_signature(reason, root),
        }
        # first the tag, then the alias (by `reconcile`): a kill in between is repaired from the tag
        _decide(client, candidate, decided)
        reconcile(client, name, root)
    return Rejection(
        name, str(candidate.version), f"Version {candidate.version} of {name} is rejected. Commit {layout.AUDIT_LOG}."
    )


def require_reason(reason: str) -> None:
    """Raise unless a reader of the audit log sees anything of a reason.

    Raises:
        SadclError: there is no reason.
    """
    if not decision.is_reason(reason):
        raise SadclError("A decision needs a reason", fix='Give one: --reason "..."')


def _name(root: Path) -> str:
    if not registry_exists(root):
        raise SadclError("Nothing is registered yet", where=root, fix="Run `sadcl register` first")
    return params.load("register", path=root / params.FILE).register_.name


def _may_begin(champion: "ModelVersion | None", first: bool, root: Path) -> None:
    """Require ``first`` for the first champion, and only for that one: nobody replaces a champion by accident."""
    if champion is None:
        require_no_champion_file(root)
        if not first:
            raise SadclError("There is no champion yet", fix="Add --first if this version is to be the first one")
    elif first:
        raise SadclError(
            f"There is a champion already: {champion.name} version {champion.version}", fix="Leave out --first"
        )


def require_eligible(
    candidate: "ModelVersion",
    champion: "ModelVersion | None",
    verdict_digest: str | None = None,
    action: str = schema.PROMOTE,
) -> None:
    """Raise the first objection to a decision from the claims of a version's author.

    Args:
        candidate: the registered version.
        champion: the version in production; None without one.
        verdict_digest: digest of the verdict that the reviewer read; None stands for the present one.
        action: ``promote``, ``reject`` or ``rollback``.

    Raises:
        SadclError: a promotion rule objects.
    """
    digest = candidate.tags.get(schema.VERDICT_DIGEST) if verdict_digest is None else verdict_digest
    rejection, champion_tags = decision.rejection(candidate), None if champion is None else champion.tags
    for objection in eligibility.objections(candidate.tags, champion_tags, rejection, digest, action):
        raise SadclError(objection.sentence, where=lookup.model_uri(candidate), fix=objection.fix)


def _require_not_rejected(
    client: "MlflowClient", name: str, previous: "ModelVersion", champion: "ModelVersion"
) -> None:
    """Raise where the version behind a former champion was rejected since."""
    for candidate in lookup.list_versions(client, name):
        if lookup.model_uri(candidate) == previous.source:
            require_eligible(candidate, champion, None, schema.ROLLBACK)


def _promotion(candidate: "ModelVersion") -> dict[str, str | None]:
    return {"action": schema.PROMOTE, "verdict": candidate.tags.get(schema.VERDICT_DIGEST)}


def _verify_files(client: "MlflowClient", version: "ModelVersion") -> None:
    with tempfile.TemporaryDirectory() as folder:
        artifacts.check_all(client, version, Path(folder))


def _copy(client: "MlflowClient", candidate: "ModelVersion", production: str) -> "ModelVersion":
    """Copy of the candidate in production; an existing one (a former champion, or of a killed call) is used again."""
    source = lookup.model_uri(candidate)
    for version in lookup.list_versions(client, production):
        if version.source == source and version.tags.get(artifacts.PINS) == candidate.tags[artifacts.PINS]:
            return version
    return client.copy_model_version(source, production)


def _set_champion(
    client: "MlflowClient",
    version: "ModelVersion",
    champion: "ModelVersion | None",
    action: dict[str, str | None],
    reason: str,
    root: Path,
) -> None:
    """Write the decision on the version, then move the alias: the one step in which the champion changes."""
    decided = {
        **action,
        "model": str(version.name),
        "from": str(champion.version) if champion is not None else None,
        "to": str(version.version),
        "challenger": str(version.source),
        "weights": artifacts.champion_record(version)["weights"],
        **_signature(reason, root),
    }
    _decide(client, version, decided)
    # MLflow has no compare-and-set: without a guard this narrows the race of two reviewers, it can't close it.
    current = lookup.version_with_alias(client, version.name, schema.CHAMPION)
    if (current and current.version) != (champion and champion.version):
        raise SadclError(
            "Somebody else made another model champion just now", where=version.name, fix=eligibility.REGISTER_AGAIN
        )
    client.set_registered_model_alias(version.name, schema.CHAMPION, version.version)


def _signature(reason: str, root: Path) -> dict[str, str]:
    return {"reason": reason.strip(), "user": identity.decider(root), "time": log.now()}


def _decide(client: "MlflowClient", version: "ModelVersion", decided: dict[str, Any]) -> None:
    """Write the decision, from which `sadcl sync` repairs everything else after a killed call."""
    client.set_model_version_tag(version.name, version.version, schema.DECISION, decision.decision_text(decided))


def _describe(version: "ModelVersion", beginning: str, previous: "ModelVersion | None") -> Promotion:
    sentence = f"{beginning} {version.name} version {version.version}"
    if previous is not None:
        sentence += f"; version {previous.version} is the previous one"
    weights = artifacts.champion_record(version)["weights"]
    return Promotion(str(version.name), str(version.version), str(version.source), weights, f"{sentence}.")
