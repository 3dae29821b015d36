"""Who is champion and who challenges, for people and for pages."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sadcl import layout, params
from sadcl.evaluation.gate import champion
from sadcl.registry import client as store
from sadcl.registry import decision, lookup, schema

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


def status(root: Path = Path(".")) -> dict[str, Any]:
    """What the registry says now.

    Returns:
        ``name``; ``champion``, ``previous`` and ``challenger``, each None or a dictionary with name, version,
        mAP, verdict, since, by, reason; ``file``: the champion that data/champion.json names, or None.

    Raises:
        SadclError: the registry can't be had.
    """
    name = params.load("register", path=root / params.FILE).register_.name
    path = root / layout.CHAMPION
    named = champion.read_champion(path) if path.is_file() else None
    found: dict[str, Any] = {"name": name, "champion": None, "previous": None, "challenger": None}
    found["file"] = None if named is None else {"name": named.name, "version": named.version}
    if not store.exists(root):
        return found
    with store.connect(root) as client:
        for model, alias in (
            (schema.production(name), schema.CHAMPION),
            (schema.production(name), schema.PREVIOUS),
            (name, schema.CHALLENGER),
        ):
            holder = lookup.version_with_alias(client, model, alias)
            found[alias] = None if holder is None or decision.rejection(holder) else _about(holder)
    return found


def experiment(root: Path = Path(".")) -> str | None:
    """MLflow's number of the experiment that holds our runs; None where nothing was registered yet.

    Raises:
        SadclError: the registry can't be had.
    """
    name = params.load("register", path=root / params.FILE).register_.name
    if not store.exists(root):
        return None
    with store.connect(root) as client:
        found = client.get_experiment_by_name(name)
    return None if found is None else str(found.experiment_id)


def _about(version: "ModelVersion") -> dict[str, Any]:
    decided = decision.decision(version)
    registered = datetime.fromtimestamp(version.creation_timestamp / 1000, UTC).isoformat(timespec="seconds")
    return {
        "name": str(version.name),
        "version": str(version.version),
        "source": str(version.source),
        "mAP": version.tags.get(schema.MAP, "unknown"),
        "verdict": version.tags.get(schema.VERDICT, "unknown"),
        "since": decided.get("time", registered),
        "by": decided.get("user"),
        "reason": decided.get("reason"),
    }
