"""Servers of a team on one host, on loopback; they start and end together."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil

from sadcl import extras, files, layout, params, processes
from sadcl.accounts import host
from sadcl.errors import SadclError
from sadcl.progress import say
from sadcl.registry import client
from sadcl.registry.audit import hash_chain, signatures
from sadcl.services.dashboards import end_on_signals, ignore_signals, prefect_command, prefect_settings
from sadcl.services.supervisor import HOST, Server, end, is_taken, start, wait

LOCK, LOGS = layout.TEAM / "lock", layout.TEAM / "logs"
PORT = 5000
STOP_TIMEOUT = 6.0
"""Seconds between SIGTERM and SIGKILL."""
REVIEW_APP, OPTUNA_APP = "sadcl.review.app:create_app", "sadcl.services.optuna_login:create_app()"
REGISTRY, PREFECT, OPTUNA, REVIEW_PAGE, WORKER = "registry", "prefect", "optuna", "review", "worker"
PORT_OFFSETS = {REGISTRY: 0, PREFECT: 1, OPTUNA: 2, REVIEW_PAGE: 3}
"""Ports, relative to the registry's."""


def up(port: int = PORT, root: Path = Path(".")) -> None:
    """Start registry, Prefect server, worker, Optuna dashboard and review page, and wait for Ctrl-C.

    Args:
        port: of the registry; the others use the next three.
        root: the project's folder.

    Raises:
        SadclError: the servers run already, a port is in use, or a server does not start; then all are stopped.
    """
    extras.require("flask_wtf", "prefect", "optuna_dashboard")
    params.load("register", path=root / params.FILE)
    with _single_instance(root):
        _require_free_ports(port)
        # before the first server: from then on, a signal has to pass `finally`
        end_on_signals()
        group = _ServerGroup(root, port)
        try:
            _start(group)
            group.watch()
        except KeyboardInterrupt:
            ignore_signals()
            say("Stopping")
        finally:
            ignore_signals()
            end(_owner(root), STOP_TIMEOUT)
            (root / host.STATE).unlink(missing_ok=True)


def down(root: Path = Path(".")) -> str:
    """Stop the servers of ``up`` from another shell, also after ``up`` was killed.

    Returns:
        A sentence about the result.
    """
    state = host.running(root)
    if state is not None:
        with suppress(psutil.NoSuchProcess):
            starter = psutil.Process(int(state["up"].partition(":")[0]))
            starter.terminate()
            # it ends its servers itself, which takes a while
            for survivor in psutil.wait_procs([starter], STOP_TIMEOUT + 4)[1]:
                survivor.kill()
    ended = end(_owner(root), STOP_TIMEOUT)
    (root / host.STATE).unlink(missing_ok=True)
    return "All servers are stopped" if ended or state is not None else "No servers are running"


class _ServerGroup:
    """Servers of one ``up``, and their addresses."""

    def __init__(self, root: Path, port: int) -> None:
        self.root, self.port = root, port
        self.servers: dict[str, Server] = {}
        up = {"up": processes.process_id(os.getpid()), "registry": self.address(REGISTRY)}
        files.write_json(root / host.STATE, up)  # before the first server starts, so that `down` can end it

    def start(self, name: str, command: list[str], variables: dict[str, str]) -> None:
        """Start a server."""
        self.servers[name] = start(command, _owner(self.root), variables, self.root / LOGS / f"{name}.log")

    def address(self, name: str) -> str:
        return f"http://{HOST}:{self.port + PORT_OFFSETS[name]}"

    def wait_for(self, name: str) -> None:
        """Wait for a server, and print its address."""
        wait(self.servers[name], name, self.port + PORT_OFFSETS[name], f"See {self.root / LOGS / name}.log")
        say(f"{name}: {self.address(name)}")

    def watch(self) -> None:
        """Report servers that exit; return only with an error, when the registry exits."""
        while True:
            for name, server in list(self.servers.items()):
                if server.poll() is None:
                    continue
                ended = f"{name} exited with status {server.returncode}"
                if name == REGISTRY:
                    raise SadclError(ended, fix=f"See {self.root / LOGS / name}.log")
                say(f"{ended}. See {self.root / LOGS / name}.log.")
                del self.servers[name]
            time.sleep(0.5)


def _start(group: _ServerGroup) -> None:
    is_first_start = host.administrator(group.root) is None
    command, variables = host.server(group.port, group.root)
    group.start(REGISTRY, command, variables)
    prefect, login = prefect_settings(), host.prefect_login(group.root)
    # without the origin, pages of other servers on this host could read Prefect's API
    settings = {
        "PREFECT_SERVER_API_AUTH_STRING": login,
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": group.address(PREFECT),
    }
    group.start(PREFECT, prefect_command(group.port + PORT_OFFSETS[PREFECT]), prefect | settings)
    group.wait_for(REGISTRY)
    host.set_up(group.address(REGISTRY), group.root)
    # started before the registry answered: each takes about ten seconds
    group.wait_for(PREFECT)
    addresses = {client.ADDRESS: group.address(REGISTRY), "PREFECT_API_URL": f"{group.address(PREFECT)}/api"}
    worker = ["-m", "prefect", "--no-prompt", "worker", "start", "--pool", "sadcl", "--type", "process"]
    # the worker alone: flows register in its name, while stages get an environment without it
    logins = {**host.worker_login(group.root), processes.PREFECT_LOGIN: login}
    group.start(WORKER, [sys.executable, *worker], prefect | addresses | logins)
    if _has_studies(group.root):
        group.start(OPTUNA, _optuna_command(group.port + PORT_OFFSETS[OPTUNA]), addresses)
        group.wait_for(OPTUNA)
    # the page needs Prefect's log-in for the flow that follows a decision
    review = addresses | {processes.PREFECT_LOGIN: login}
    group.start(REVIEW_PAGE, _review_command(group.port + PORT_OFFSETS[REVIEW_PAGE]), review)
    group.wait_for(REVIEW_PAGE)
    _print_next_steps(group.root, addresses, is_first_start)


def _optuna_command(port: int) -> list[str]:
    bind = ["--bind", f"{HOST}:{port}", "--workers", "1", "--threads", "4", "--no-control-socket"]
    return [sys.executable, "-m", "gunicorn", *bind, OPTUNA_APP]


def _review_command(port: int) -> list[str]:
    bind = ["--host", HOST, "--port", str(port), "--no-server-header", "--no-proxy-headers"]
    return [sys.executable, "-m", "uvicorn", "--factory", REVIEW_APP, *bind]


def _print_next_steps(root: Path, addresses: dict[str, str], is_first_start: bool) -> None:
    if is_first_start:
        say(f"The administrator's name and password are in {root / host.ADMINISTRATOR}.")
        say("Add an account for each person: sadcl user add NAME --role trainer|reviewer|reader")
    root_key = signatures.introduced(hash_chain.lines(root / host.LEDGER)).root
    say(f"Root key of the registry's signatures, to pin by `sadcl audit --key`: {root_key}")
    say("To use these servers from another shell:")
    for variable, value in {**addresses, processes.PREFECT_LOGIN: '"$(sadcl user prefect)"'}.items():
        say(f"  export {variable}={value}")
    say("To stop all servers, press Ctrl-C here or run `sadcl down` elsewhere.")


def _has_studies(root: Path) -> bool:
    from sadcl.tuning import storage

    has_studies = storage.STORAGE_VARIABLE in os.environ or (root / layout.OPTUNA_DATABASE).exists()
    if has_studies:
        with storage.silence_warnings():
            storage.open_storage(root)  # fail here with a sentence, not in the log of the dashboard
    return has_studies


@contextmanager
def _single_instance(root: Path) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            stack.enter_context(files.lock(root / LOCK, "running these servers"))
        except SadclError:
            where = (host.running(root) or {}).get("registry", "the registry is still starting")
            raise SadclError(
                "The servers are already running", where=where, fix="Stop them with `sadcl down`"
            ) from None
        down(root)  # end what a killed `up` has left
        yield


def _require_free_ports(port: int) -> None:
    for name, offset in PORT_OFFSETS.items():
        if is_taken(port + offset):
            message = f"Port {port + offset}, which {name} needs, is in use"
            raise SadclError(message, where=HOST, fix="Choose other ports with --port")


def _owner(root: Path) -> str:
    """Owner of the servers: the resolved folder of the team, the same from each worktree."""
    return str((root / layout.TEAM).resolve())
