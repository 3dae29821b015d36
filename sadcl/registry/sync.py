"""Repair of files, audit log and aliases from the alias ``champion``, which is the source of truth.

The repair is idempotent. Promotion and rollback end with it: they write the decision on a version and move the alias in
one step, and the next call completes whatever a killed one left out.
"""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sadcl import files, layout, params, pipeline
from sadcl.errors import SadclError
from sadcl.evaluation.gate import champion
from sadcl.registry import artifacts, decision, eligibility, identity, lookup, schema
from sadcl.registry.audit import log, verify
from sadcl.registry.client import ADDRESS, connect, registry_exists

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion


def sync(root: Path = Path(".")) -> bool:
    """Repair ``data/champion.json``, ``data/champion/``, the audit log and the other aliases from the registry.

    A registry without a champion proves nothing (that of a fresh clone is empty): files stay as they are.

    Returns:
        Whether anything had to be repaired.

    Raises:
        SadclError: the registry can't be reached, or its files are not the ones that were promoted.
    """
    # opening a registry would create its database
    if not registry_exists(root):
        return False
    name = params.load("register", path=root / params.FILE).register_.name
    with connect(root, changing=True) as client:
        return reconcile(client, name, root)


def reconcile(client: "MlflowClient", name: str, root: Path) -> bool:
    """Repair everything through a connection that holds the lock; whether anything changed."""
    # a list, not `or`: every repair has to run
    changed = [_repair_rejections(client, name, root)]
    version = lookup.version_with_alias(client, schema.production(name), schema.CHAMPION)
    if version is not None:
        changed += [_repair_aliases(client, name, version, root), _repair_log(version, root)]
        changed += [_repair_files(client, version, root)]
    return any(changed)


def _repair_rejections(client: "MlflowClient", name: str, root: Path) -> bool:
    """Log missing rejections, and take the alias from a rejected challenger."""
    changed, known = False, log.entries(root)
    for version in lookup.list_versions(client, name):
        decided = decision.decision(version)
        if decided and decided not in known:
            log.append(decided, root)
            changed = True
    challenger = lookup.version_with_alias(client, name, schema.CHALLENGER)
    if challenger is not None and decision.rejection(challenger):
        client.delete_registered_model_alias(name, schema.CHALLENGER)
        changed = True
    return changed


def _repair_aliases(client: "MlflowClient", name: str, version: "ModelVersion", root: Path) -> bool:
    """Point ``previous`` at the version that the decision replaced; take ``challenger`` from the champion."""
    production, changed = schema.production(name), False
    decided, known = decision.decision(version), _promotions(production, root)
    before = decided.get("from")
    # An old decision says nothing about today's previous champion: only the newest one, or one not logged yet.
    if before and (decided not in known or decided == known[-1]):
        previous = lookup.version_with_alias(client, production, schema.PREVIOUS)
        if previous is None or str(previous.version) != before:
            client.set_registered_model_alias(production, schema.PREVIOUS, before)
            changed = True
    challenger = lookup.version_with_alias(client, name, schema.CHALLENGER)
    if challenger is not None and eligibility.is_champion(challenger.tags, version.tags):
        client.delete_registered_model_alias(name, schema.CHALLENGER)
        changed = True
    return changed


def _repair_log(version: "ModelVersion", root: Path) -> bool:
    """Add the champion's decision to the audit log unless the last line names it."""
    decided, known = decision.decision(version), _promotions(str(version.name), root)
    last = known[-1] if known else {}
    if last.get("to") == str(version.version):
        return False
    if not decided or decided in known:
        decided = {
            "action": "found",
            "model": str(version.name),
            "from": last.get("to"),
            "to": str(version.version),
            "challenger": str(version.source),
            "weights": str(version.tags.get(schema.WEIGHTS, "")),
            "reason": "the alias was moved without sadcl",
            "user": identity.decider(root),
            "time": log.now(),
        }
    log.append(decided, root)
    return True


def _promotions(production: str, root: Path) -> list[dict[str, Any]]:
    return [entry for entry in log.entries(root) if entry.get("model") == production]


def _repair_files(client: "MlflowClient", version: "ModelVersion", root: Path) -> bool:
    """Bring the champion's files and its JSON record into the project.

    The JSON comes last: where it is right, DVC knows the folder too.
    """
    # digests from the pins, which the registry never writes again, not from the files that are checked by them
    record, folder = artifacts.champion_record(version), root / layout.CHAMPION_FOLDER
    path = root / layout.CHAMPION
    names = {pin: Path(pin).name for pin in (artifacts.model(version), artifacts.SCORES)}
    expected = {name: record[Path(name).stem] for name in names.values()}
    actual = {path.name: files.digest(path) for path in folder.glob("*") if path.is_file()}
    present = artifacts.recorded_champion(root) or {}
    # the log's newest line at the time of the promotion: repairs keep it, or a log that was cut off since would look
    # whole
    newest = present.pop("audit", None)
    if newest and present == record and actual == expected and folder.with_suffix(".dvc").is_file():
        return False
    if actual != expected:
        # the folder appears as a whole, after each file was compared with its pin
        with tempfile.TemporaryDirectory() as download, files.atomic_directory(folder) as temporary:
            for pin, name in names.items():
                artifacts.fetch(client, version, pin, Path(download)).rename(temporary / name)
    pipeline.add(folder)
    files.write_json(path, {**record, "audit": newest if newest and present == record else verify.newest(root)})
    return True


def require_no_champion_file(root: Path) -> None:
    """Require that ``data/champion.json`` names no champion.

    Raises:
        SadclError: it names one: the champion was promoted in another registry than this empty one.
    """
    path = root / layout.CHAMPION
    recorded = champion.read_champion(path) if path.is_file() else None
    if recorded is not None:
        raise SadclError(
            f"The registry has no champion, but this file names {recorded}",
            where=path,
            fix=f"Point {ADDRESS} at the registry that has it, or write null into the file to start again",
        )
