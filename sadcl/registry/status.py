"""Who is champion and who challenges, for people and for pages."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sadcl import params
from sadcl.accounts import host
from sadcl.evaluation.gate import champion
from sadcl.registry import client as store
from sadcl.registry import schema

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
    path = root / champion.FILE
    named = champion.read(path) if path.is_file() else None
    found: dict[str, Any] = {"name": name, "champion": None, "previous": None, "challenger": None}
    found["file"] = None if named is None else {"name": named.name, "version": named.version}
    if not store.exists(root):
        return found
    with store.opened(root) as client:
        for model, alias in (
            (schema.production(name), schema.CHAMPION),
            (schema.production(name), schema.PREVIOUS),
            (name, schema.CHALLENGER),
        ):
            holder = schema.holder(client, model, alias)
            found[alias] = None if holder is None or schema.rejection(holder) else _about(holder)
    return found


def experiment(root: Path = Path(".")) -> str | None:
    """MLflow's number of the experiment that holds our runs; None where nothing was registered yet.

    Raises:
        SadclError: the registry can't be had.
    """
    name = params.load("register", path=root / params.FILE).register_.name
    if not store.exists(root):
        return None
    with store.opened(root) as client:
        found = client.get_experiment_by_name(name)
    return None if found is None else str(found.experiment_id)


def sentences(root: Path = Path(".")) -> list[str]:
    """The same in words, a sentence a line."""
    now = status(root)
    reigning, challenger, named = now["champion"], now["challenger"], now["file"]
    lines = [_reigns(reigning) if reigning else "There is no champion yet." if named is None else _elsewhere(named)]
    if reigning and (named is None or (named["name"], named["version"]) != (reigning["name"], reigning["version"])):
        lines.append("data/champion.json does not name it; run `sadcl sync`.")
    if challenger:
        lines.append(
            f"Challenger: {challenger['name']} version {challenger['version']}, mAP {challenger['mAP']}, "
            f"verdict {challenger['verdict']}, since {challenger['since']}."
        )
    else:
        lines.append("Nobody challenges.")
    return [*lines, *_team(root)]


def _team(root: Path) -> list[str]:
    """Where the team's registry runs, if it runs on this host."""
    up = host.running(root)
    if up is None:
        return []
    where = up["registry"]
    used = "" if store.address(root) == where else f", but this project uses another; export {store.ADDRESS}={where}"
    return [f"The team's registry runs at {where}{used}."]


def _about(version: "ModelVersion") -> dict[str, Any]:
    decided = schema.decision(version)
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


def _reigns(version: dict[str, Any]) -> str:
    by = f" by {version['by']}: {version['reason']}" if version["by"] else ""
    return (
        f"Champion: {version['name']} version {version['version']}, mAP {version['mAP']}, since {version['since']}{by}."
    )


def _elsewhere(named: dict[str, Any]) -> str:
    return f"data/champion.json names {named['name']} version {named['version']}, which this registry does not know."
