"""Servers of one `sadcl up`: they start together, and each is restarted when it ends."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from sadcl import layout, processes
from sadcl.errors import SadclError
from sadcl.progress import say, try_say
from sadcl.registry.audit import log
from sadcl.services import state
from sadcl.services.state import ServiceState
from sadcl.services.supervisor import HOST, Server, bound_log, end, start, wait

REGISTRY, PREFECT, OPTUNA, REVIEW_PAGE = "registry", "prefect", "optuna", "review"
WORKER, VERIFIER = "worker", "verifier"
PORT_OFFSETS = {REGISTRY: 0, PREFECT: 1, OPTUNA: 2, REVIEW_PAGE: 3}
"""Ports, relative to the registry's."""
STOP_TIMEOUT = 6.0
"""Seconds between SIGTERM and SIGKILL."""
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
"""Seconds before the first restart, which double with each failure, and the most of them."""
MOST_FAILURES = 5
"""Restarts in a row; a server that ends once more stays down."""
STABLE = 300.0
"""Seconds after which a server counts as started: earlier failures no longer count."""


@dataclass
class _Service:
    command: list[str]
    variables: dict[str, str]
    process: Server
    started: float
    restart_at: float | None = None
    state: ServiceState = field(default_factory=lambda: ServiceState(since=log.now()))


class ServerGroup:
    """Servers of one `sadcl up`.

    Args:
        root: the project's folder.
        port: of the registry.
        clock: monotonic seconds.
    """

    def __init__(self, root: Path, port: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.root, self.port, self._clock = root, port, clock
        self._services: dict[str, _Service] = {}
        self._is_written = True
        self._write()  # before the first server starts, so that `down` can end it

    def start(self, name: str, command: list[str], variables: dict[str, str]) -> None:
        """Start a server."""
        process = self._start_process(name, command, variables)
        self._services[name] = _Service(command, variables, process, self._clock())
        self._write_state()

    def address(self, name: str) -> str:
        """Address of a server."""
        return f"http://{HOST}:{self.port + PORT_OFFSETS[name]}"

    def wait_for(self, name: str) -> None:
        """Wait for a server, and print its address.

        Raises:
            SadclError: it exits, or does not answer in time.
        """
        hint = f"See {state.log_file(name, self.root)}"
        wait(self._services[name].process, name, self.port + PORT_OFFSETS[name], hint)
        say(f"{name}: {self.address(name)}")

    def check(self) -> None:
        """Restart servers that have ended, after a wait that grows; one that ends again and again stays down.

        Logs that have grown large are cut. A full disk or a lack of memory ends no server: what fails is tried again.
        """
        if not self._is_written:
            self._write_state()
        for name, service in self._services.items():
            bound_log(state.log_file(name, self.root))
            if service.restart_at is not None:
                if self._clock() >= service.restart_at:
                    self._restart(name, service)
            elif service.state.state == state.RUNNING and service.process.poll() is not None:
                self._record_end(name, service)
            elif service.state.failures and self._is_stable(service):
                self._set_state(service, ServiceState(since=service.state.since))

    def _is_stable(self, service: _Service) -> bool:
        return service.state.state == state.RUNNING and self._clock() - service.started >= STABLE

    def _record_end(self, name: str, service: _Service) -> None:
        failures, status = 1 if self._is_stable(service) else service.state.failures + 1, service.process.returncode
        seconds = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (failures - 1))
        stays_down = failures > MOST_FAILURES
        service.restart_at = None if stays_down else self._clock() + seconds
        action = "It stays down" if stays_down else f"It is restarted in {seconds:.0f} s"
        now = state.DOWN if stays_down else state.RESTARTING
        self._set_state(service, ServiceState(state=now, since=log.now(), failures=failures, status=status))
        try_say(f"{name} {state.ended(status)}. {action}. See {state.log_file(name, self.root)}.")

    def _restart(self, name: str, service: _Service) -> None:
        if name in PORT_OFFSETS:  # its children keep the port; the worker's are runs, which go on
            end(owner(self.root), STOP_TIMEOUT, name)
        try:
            service.process = self._start_process(name, service.command, service.variables)
        except (OSError, SadclError) as error:
            service.restart_at = self._clock() + LONGEST_WAIT
            try_say(f"{name} can't be restarted, and the next attempt is in {LONGEST_WAIT:.0f} s: {error}")
            return
        service.started, service.restart_at = self._clock(), None
        self._set_state(service, service.state.model_copy(update={"state": state.RUNNING, "since": log.now()}))

    def _start_process(self, name: str, command: list[str], variables: dict[str, str]) -> Server:
        return start(command, owner(self.root), variables, state.log_file(name, self.root), name)

    def _set_state(self, service: _Service, value: ServiceState) -> None:
        service.state = value
        self._write_state()

    def _write_state(self) -> None:
        self._is_written = False
        with suppress(OSError, SadclError):  # the servers matter more than the file
            self._write()
            self._is_written = True

    def _write(self) -> None:
        states = {name: service.state for name, service in self._services.items()}
        state.write(processes.process_id(os.getpid()), self.address(REGISTRY), states, self.root)


def owner(root: Path) -> str:
    """Owner of the servers: the resolved folder of the team, the same from each worktree."""
    return str((root / layout.TEAM).resolve())
