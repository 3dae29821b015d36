"""Status of the registry: champion, previous champion and challenger."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sadcl import layout, params
from sadcl.evaluation.gate import champion
from sadcl.registry import decision, lookup, schema, verified
from sadcl.registry.client import connect, registry_exists

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


def status(root: Path = Path(".")) -> dict[str, Any]:
    """Champion, previous champion and challenger of a project.

    Returns:
        ``name``; ``champion``, ``previous`` and ``challenger``, each None or a dictionary with name, version,
        source, mAP, verdict, words, verified, since, by, reason; ``newest``, the newest registered version in the same
        form; ``file``: the champion that data/champion.json names, or None.

    Raises:
        SadclError: the registry can't be reached.
    """
    name = params.load("register", path=root / params.FILE).register_.name
    path = root / layout.CHAMPION
    recorded = champion.read_champion(path) if path.is_file() else None
    state: dict[str, Any] = {"name": name, "champion": None, "previous": None, "challenger": None, "newest": None}
    state["file"] = None if recorded is None else {"name": recorded.name, "version": recorded.version}
    if not registry_exists(root):
        return state
    with connect(root) as client:
        for model, alias in (
            (schema.production(name), schema.CHAMPION),
            (schema.production(name), schema.PREVIOUS),
            (name, schema.CHALLENGER),
        ):
            version = lookup.version_with_alias(client, model, alias)
            # A killed rejection leaves the alias on a rejected version until the next repair.
            state[alias] = None if version is None or decision.rejection(version) else _summary(version)
        newest = max(lookup.list_versions(client, name), key=lambda version: int(version.version), default=None)
        state["newest"] = None if newest is None else _summary(newest)
    return state


def experiment(root: Path = Path(".")) -> str | None:
    """Id of the MLflow experiment that holds the project's runs; None before the first registration.

    Raises:
        SadclError: the registry can't be reached.
    """
    name = params.load("register", path=root / params.FILE).register_.name
    if not registry_exists(root):
        return None
    with connect(root) as client:
        entity = client.get_experiment_by_name(name)
    return None if entity is None else str(entity.experiment_id)


def _summary(version: "ModelVersion") -> dict[str, Any]:
    decided, record = decision.decision(version), verified.read_record(version.tags)
    registered = datetime.fromtimestamp(version.creation_timestamp / 1000, UTC).isoformat(timespec="seconds")
    return {
        "name": str(version.name),
        "version": str(version.version),
        "source": str(version.source),
        "mAP": record.mAP if record else version.tags.get(schema.MAP, "unknown"),
        "verdict": record.verdict if record else version.tags.get(schema.VERDICT, "unknown"),
        "words": record.words if record else version.tags.get(schema.WORDS, ""),
        "verified": record is not None,
        "since": decided.get("time", registered),
        "by": decided.get("user"),
        "reason": decided.get("reason"),
    }
