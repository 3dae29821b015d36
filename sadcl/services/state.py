"""State of a team's servers: `sadcl up` writes it to a file, `sadcl status` and `sadcl doctor` read it."""

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from sadcl import files, layout
from sadcl.accounts import host
from sadcl.errors import SadclError

LOGS = layout.TEAM / "logs"
RUNNING, RESTARTING, DOWN = "running", "restarting", "down"


class ServiceState(BaseModel):
    """State of one server.

    Attributes:
        state: ``running``, ``restarting`` after it ended, or ``down`` after it ended too often.
        since: time of the last change, in UTC.
        failures: ends in a row; a server that keeps running has none.
        status: exit status of the last end, negative for a signal.
    """

    model_config = ConfigDict(frozen=True)

    state: Literal["running", "restarting", "down"] = "running"
    since: str = ""
    failures: int = 0
    status: int | None = None


def log_file(name: str, root: Path = Path(".")) -> Path:
    """Path of a server's log."""
    return root / LOGS / f"{name}.log"


def write(process: str, registry: str, services: Mapping[str, ServiceState], root: Path = Path(".")) -> None:
    """Write the state of all servers.

    Args:
        process: identifier of the process of `sadcl up`.
        registry: address of the registry.
        services: state by name.
        root: the project's folder.
    """
    states = {name: service.model_dump() for name, service in services.items()}
    files.write_json(root / host.STATE, {"up": process, "registry": registry, "services": states})


def read(root: Path = Path(".")) -> dict[str, ServiceState]:
    """State of each server by name; empty where `sadcl up` does not run.

    Raises:
        SadclError: the file is damaged, or belongs to another user.
    """
    running = host.running(root)
    services = {} if running is None else running.get("services", {})
    try:
        return {name: ServiceState.model_validate(state) for name, state in services.items()}
    except (AttributeError, ValidationError):
        raise SadclError("The file is damaged", where=root / host.STATE, fix=host.START_AGAIN) from None


def problems(root: Path = Path(".")) -> list[str]:
    """One sentence per server that is down: since when, why, and where its log is; empty where all of them run.

    Raises:
        SadclError: the file with the state is damaged, or belongs to another user.
    """
    if host.running(root) is None and host.exists(root / host.STATE):
        return ["`sadcl up` was killed, and its servers may still run; run `sadcl down`, then `sadcl up`."]
    return [_sentence(name, service, root) for name, service in read(root).items() if service.failures]


def ended(status: int | None) -> str:
    """How a process ended, as the rest of a sentence."""
    if status is not None and status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"exited with status {status}"


def _sentence(name: str, service: ServiceState, root: Path) -> str:
    times = "once" if service.failures == 1 else f"{service.failures} times in a row"
    log = f"its log is {log_file(name, root)}"
    if service.state == DOWN:
        return (
            f"{name} is down since {service.since}: it {ended(service.status)}, {times}; {log}. "
            "Mend the cause, then run `sadcl down` and `sadcl up`."
        )
    if service.state == RESTARTING:
        return f"{name} is down since {service.since}: it {ended(service.status)}, {times}, and is restarted; {log}."
    return f"{name} runs again since {service.since}: it {ended(service.status)}, {times}; {log}."
