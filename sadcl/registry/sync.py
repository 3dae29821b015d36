"""Make everything agree with the alias ``champion``, which is the truth: one idempotent repair.

Promotion and rollback end here too: they write the decision on a version and move the alias, in one
step; whatever was not done when somebody killed them, the next call does.
"""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sadcl import files, layout, params, pipeline
from sadcl.errors import SadclError
from sadcl.evaluation.gate import champion
from sadcl.registry import artifacts, decision, identity, lookup, schema
from sadcl.registry import client as store
from sadcl.registry.audit import log, verify

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion


def sync(root: Path = Path(".")) -> bool:
    """Repair ``data/champion.json``, ``data/champion/``, the audit and the other aliases from the registry.

    A registry without a champion proves nothing (a fresh clone has an empty one): files stay as they are.

    Returns:
        Whether anything had to be repaired.

    Raises:
        SadclError: the registry can't be had, or its files are not the ones that were promoted.
    """
    if not store.exists(root):
        return False
    name = params.load("register", path=root / params.FILE).register_.name
    with store.connect(root, changing=True) as client:
        return reconcile(client, name, root)


def reconcile(client: "MlflowClient", name: str, root: Path) -> bool:
    """The repair itself, for who already holds the registry."""
    changed = [_rejected(client, name, root)]
    version = lookup.version_with_alias(client, schema.production(name), schema.CHAMPION)
    if version is not None:
        changed += [_aliases(client, name, version, root), _audited(version, root), _shadowed(client, version, root)]
    return any(changed)


def champion_record(version: "ModelVersion") -> dict[str, str]:
    """The value of ``data/champion.json`` for a champion."""
    pins = artifacts.pins(version)
    return {
        "name": str(version.name),
        "version": str(version.version),
        "challenger": str(version.source),
        "weights": pins[artifacts.model(version)],
        "scores": pins[artifacts.SCORES],
        "test": str(version.tags.get(schema.TEST, "")),
    }


def _rejected(client: "MlflowClient", name: str, root: Path) -> bool:
    """Who was rejected challenges no longer, and the audit says so."""
    changed, known = False, log.entries(root)
    for version in lookup.versions(client, name):
        decided = decision.decision(version)
        if decided and decided not in known:
            log.append(decided, root)
            changed = True
    challenger = lookup.version_with_alias(client, name, schema.CHALLENGER)
    if challenger is not None and decision.rejection(challenger):
        client.delete_registered_model_alias(name, schema.CHALLENGER)
        changed = True
    return changed


def _aliases(client: "MlflowClient", name: str, version: "ModelVersion", root: Path) -> bool:
    """``previous`` is whom the decision replaced; the champion challenges nobody."""
    production, changed = schema.production(name), False
    decided, known = decision.decision(version), _reigns(production, root)
    before = decided.get("from")
    if before and (decided not in known or decided == known[-1]):
        previous = lookup.version_with_alias(client, production, schema.PREVIOUS)
        if previous is None or str(previous.version) != before:
            client.set_registered_model_alias(production, schema.PREVIOUS, before)
            changed = True
    challenger = lookup.version_with_alias(client, name, schema.CHALLENGER)
    if challenger is not None and challenger.tags.get(schema.WEIGHTS) == version.tags.get(schema.WEIGHTS):
        client.delete_registered_model_alias(name, schema.CHALLENGER)
        changed = True
    return changed


def _audited(version: "ModelVersion", root: Path) -> bool:
    """The last line of the audit names the champion."""
    decided, known = decision.decision(version), _reigns(str(version.name), root)
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
            "reason": "somebody moved the alias without sadcl",
            "user": identity.decider(root),
            "time": log.now(),
        }
    log.append(decided, root)
    return True


def _reigns(production: str, root: Path) -> list[dict[str, Any]]:
    return [entry for entry in log.entries(root) if entry.get("model") == production]


def _shadowed(client: "MlflowClient", version: "ModelVersion", root: Path) -> bool:
    """The files are the champion's. The JSON comes last: where it is right, DVC knows the folder too."""
    value, folder = champion_record(version), root / layout.CHAMPION_FOLDER
    path = root / layout.CHAMPION
    held = {pin: Path(pin).name for pin in (artifacts.model(version), artifacts.SCORES)}
    wanted = {file: value[Path(file).stem] for file in held.values()}
    there = {path.name: files.digest(path) for path in folder.glob("*") if path.is_file()}
    noted = (files.read_json(path) if path.is_file() else None) or {}
    newest = noted.pop("audit", None)
    if newest and noted == value and there == wanted and folder.with_suffix(".dvc").is_file():
        return False
    if there != wanted:
        with tempfile.TemporaryDirectory() as bench, files.atomic_directory(folder) as beside:
            for pin, file in held.items():
                artifacts.fetch(client, version, pin, Path(bench)).rename(beside / file)
    pipeline.add(folder)
    files.write_json(path, {**value, "audit": newest if newest and noted == value else verify.newest(root)})
    return True


def require_no_champion_file(root: Path) -> None:
    """Make sure that no file names a champion that the registry does not know.

    Raises:
        SadclError: one does: this is another registry than the one it was promoted in.
    """
    path = root / layout.CHAMPION
    reigning = champion.read_champion(path) if path.is_file() else None
    if reigning is not None:
        raise SadclError(
            f"The registry has no champion, but this file names {reigning}",
            where=path,
            fix=f"Point {store.ADDRESS} at the registry that has it, or write null into the file to begin anew",
        )
