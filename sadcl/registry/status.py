"""Status of the registry: champion, previous champion and challenger."""

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sadcl import __version__, databases, files, layout, params
from sadcl.errors import SadclError
from sadcl.evaluation.gate import champion
from sadcl.registry import decision, lookup, schema, verified
from sadcl.registry.client import connect, database_file, registry_exists

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

VERSIONS = (schema.CHAMPION, schema.PREVIOUS, schema.CHALLENGER, "newest")
"""Keys of the status whose values are versions."""


def status(root: Path = Path(".")) -> dict[str, Any]:
    """Champion, previous champion and challenger of a project.

    Of an SQLite registry they are remembered until its file changes: MLflow alone takes two seconds to import.

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
    file = None if recorded is None else {"name": recorded.name, "version": recorded.version}
    if not registry_exists(root):
        return {"name": name, **dict.fromkeys(VERSIONS), "file": file}
    key = _key(root, name)
    versions = _remembered(root, key) or _versions(root, name)
    if key is not None and key == _key(root, name):  # no change while it was read
        with suppress(SadclError):  # a full disk
            files.write_json(root / layout.REGISTRY_STATUS, {"key": key, "versions": versions})
    return {"name": name, **versions, "file": file}


def _key(root: Path, name: str) -> list[Any] | None:
    """Cache key of the versions: program, model, and content of the SQLite file; None for a server."""
    file = database_file(root)
    try:
        return None if file is None else [__version__, name, str(file), databases.fingerprint(file)]
    except OSError:
        return None


def _remembered(root: Path, key: list[Any] | None) -> dict[str, Any] | None:
    """The versions of the last call, if its key was the same."""
    path = root / layout.REGISTRY_STATUS
    if key is None or not path.is_file():
        return None
    try:
        last = files.read_json(path)
    except SadclError:
        return None
    same = isinstance(last, dict) and last.get("key") == key
    return {part: last["versions"][part] for part in VERSIONS} if same else None


def _versions(root: Path, name: str) -> dict[str, Any]:
    """Versions with a part in the life of a model, each None or a summary."""
    state: dict[str, Any] = dict.fromkeys(VERSIONS)
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
