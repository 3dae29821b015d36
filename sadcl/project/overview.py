"""State of a project in sentences: champion, challenger, last run, stale stages."""

import time
from pathlib import Path
from typing import Any

from sadcl import files, layout, pipeline
from sadcl.accounts import host
from sadcl.errors import SadclError
from sadcl.progress import duration
from sadcl.registry import client, status


def describe() -> list[str]:
    """Champion, challenger, last run and stale stages, a sentence a line."""
    pipeline.require_project()
    return [*_registry(), _last_run(), *_stale()]


def _registry() -> list[str]:
    try:
        return describe_registry()
    except SadclError as error:  # a registry that does not answer hides nothing else
        return [str(error)]


def _last_run() -> str:
    runs = {path.stem: files.read_json(path) for path in layout.LAST_RUNS.glob("*.json")}
    if not runs:
        return "Nothing ran here yet; `dvc repro` runs the pipeline."
    name, last = max(runs.items(), key=lambda item: item[1]["ended"])
    return f"Last run: {name}, {duration(time.time() - last['ended'])} ago, for {duration(last['seconds'])}."


def _stale() -> list[str]:
    try:
        stale = pipeline.stale()
    except SadclError as error:  # a stage that runs right now holds DVC's lock
        return [str(error)]
    return [f"Stale: {stage} ({'; '.join(reasons)})" for stage, reasons in stale.items()] or ["Nothing is stale."]


def last_seconds() -> dict[str, Any]:
    """Seconds that each stage took when it ran last."""
    return {path.stem: files.read_json(path)["seconds"] for path in layout.LAST_RUNS.glob("*.json")}


def describe_registry(root: Path = Path(".")) -> list[str]:
    """Champion, challenger and the team's servers, a sentence a line.

    Raises:
        SadclError: the registry does not answer.
    """
    state = status.status(root)
    champion, challenger, file = state["champion"], state["challenger"], state["file"]
    if champion is not None:
        lines = [_champion(champion)]
        if file is None or (file["name"], file["version"]) != (champion["name"], champion["version"]):
            lines.append("data/champion.json does not name it; run `sadcl sync`.")
    elif file is None:
        lines = ["There is no champion yet."]
    else:
        lines = [f"data/champion.json names {file['name']} version {file['version']}, unknown to this registry."]
    return [*lines, _challenger(challenger), *_team(root)]


def _champion(version: dict[str, Any]) -> str:
    by = f" by {version['by']}: {version['reason']}" if version["by"] else ""
    return (
        f"Champion: {version['name']} version {version['version']}, mAP {version['mAP']}, since {version['since']}{by}."
    )


def _challenger(version: dict[str, Any] | None) -> str:
    if version is None:
        return "There is no challenger."
    return (
        f"Challenger: {version['name']} version {version['version']}, mAP {version['mAP']}, "
        f"verdict {version['verdict']}, since {version['since']}."
    )


def _team(root: Path) -> list[str]:
    """Where the team's registry runs, if it runs on this host."""
    running = host.running(root)
    if running is None:
        return []
    registry = running["registry"]
    other = (
        ""
        if client.address(root) == registry
        else (f", but this project uses another; export {client.ADDRESS}={registry}")
    )
    return [f"The team's registry runs at {registry}{other}."]
