"""Status of a project: champion, challenger, last run and stale stages, in sentences."""

import time
from pathlib import Path
from typing import Any

from sadcl import files, layout, pipeline
from sadcl.accounts import host
from sadcl.errors import SadclError
from sadcl.progress import duration
from sadcl.project import notifications, schedule
from sadcl.registry import client, status
from sadcl.services import state


def describe() -> list[str]:
    """Champion, challenger, team server, schedule, notifications, last run and stale stages, one sentence per line.

    Raises:
        SadclError: this folder is not a project.
    """
    pipeline.require_project()
    return [*_registry(), *_services(), *schedule.describe(), *notifications.describe(), _last_run(), *_stale()]


def _registry() -> list[str]:
    try:
        return describe_registry()
    except SadclError as error:  # the other lines do not need the registry
        return [str(error)]


def _last_run() -> str:
    runs = {path.stem: files.read_json(path) for path in layout.LAST_RUNS.glob("*.json")}
    if not runs:
        return "No stage ran here yet; `dvc repro` runs the pipeline."
    name, last = max(runs.items(), key=lambda item: item[1]["ended"])
    return f"Last run: {name}, {duration(time.time() - last['ended'])} ago, took {duration(last['seconds'])}."


def _stale() -> list[str]:
    try:
        stale = pipeline.stale()
    except SadclError as error:  # a running stage holds DVC's lock
        return [str(error)]
    return [f"Stale: {stage} ({'; '.join(reasons)})" for stage, reasons in stale.items()] or [
        "All stages are up to date."
    ]


def last_seconds() -> dict[str, Any]:
    """Seconds that each stage took in its last run, by name."""
    return {path.stem: files.read_json(path)["seconds"] for path in layout.LAST_RUNS.glob("*.json")}


def describe_registry(root: Path = Path(".")) -> list[str]:
    """Champion, challenger and team server of the registry, one sentence per line.

    Raises:
        SadclError: the registry does not answer.
    """
    state = status.status(root)
    champion, challenger, file = state["champion"], state["challenger"], state["file"]
    if champion is not None:
        lines = [_champion(champion)]
        if file is None or (file["name"], file["version"]) != (champion["name"], champion["version"]):
            lines.append("data/champion.json does not name this version; run `sadcl sync`.")
    elif file is None:
        lines = ["There is no champion yet."]
    else:
        lines = [f"data/champion.json names {file['name']} version {file['version']}, which is not in this registry."]
    return [*lines, _challenger(challenger), *_newest(state), *_team(root)]


def _champion(version: dict[str, Any]) -> str:
    by = f" by {version['by']}: {version['reason']}" if version["by"] else ""
    name = f"{version['name']} version {version['version']}"
    return f"Champion: {name}, mAP {version['mAP']}, since {version['since']}{by}."


def _challenger(version: dict[str, Any] | None) -> str:
    if version is None:
        return "There is no challenger."
    name = f"{version['name']} version {version['version']}"
    basis = "verified" if version["verified"] else "its author's claim, not verified yet"
    return (
        f"Challenger: {name}, mAP {version['mAP']}, verdict {version['verdict']} ({basis}), since {version['since']}."
    )


def _newest(state: dict[str, Any]) -> list[str]:
    """The newest version, where it is neither challenger nor champion."""
    version, champion, challenger = state["newest"], state["champion"], state["challenger"]
    if version is None or (challenger is not None and challenger["version"] == version["version"]):
        return []
    if champion is not None and champion["source"] == f"models:/{version['name']}/{version['version']}":
        return []
    words = f": {version['words']}".rstrip(".") if version["words"] else ""
    return [f"Newest version: {version['name']} version {version['version']}, verdict {version['verdict']}{words}."]


def _team(root: Path) -> list[str]:
    """Address of the team's registry, if it runs on this host."""
    try:
        running = host.running(root)
    except SadclError:  # the line on the servers says so
        return []
    if running is None:
        return []
    registry = running["registry"]
    if client.registry_address(root) == registry:
        return [f"The team's registry runs at {registry}."]
    fix = f"run `export {client.ADDRESS}={registry}`"
    return [f"The team's registry runs at {registry}, but this project uses another; {fix}."]


def _services() -> list[str]:
    """Servers of the team on this host that are down or were restarted."""
    try:
        return state.problems()
    except SadclError as error:
        return [str(error)]
