"""Servers of a team on one host, on loopback; they start and end together."""

import os
import platform
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
from sadcl.registry import client, mlflow_context
from sadcl.registry.audit import hash_chain, signatures
from sadcl.services.dashboards import (
    end_on_signals,
    ignore_signals,
    optuna_command,
    optuna_settings,
    prefect_command,
    prefect_settings,
)
from sadcl.services.group import (
    OPTUNA,
    PORT_OFFSETS,
    PREFECT,
    REGISTRY,
    REVIEW_PAGE,
    STOP_TIMEOUT,
    VERIFIER,
    WORKER,
    ServerGroup,
    owner,
)
from sadcl.services.supervisor import HOST, end, free_port, is_taken

LOCK = layout.TEAM / "lock"
PORT = 5000
REVIEW_APP = "sadcl.review.app:create_app"


def up(port: int = PORT, root: Path = Path(".")) -> None:
    """Start registry, Prefect server, worker, verifier, Optuna dashboard and review page, and wait for Ctrl-C.

    Args:
        port: of the registry; the others use the next three.
        root: the project's folder.

    Raises:
        SadclError: the servers run already, a port is in use, or a server does not start; then all are stopped.
    """
    extras.require("flask_wtf", "prefect", "optuna_dashboard")
    client.registry_address(root)  # for its error alone: commands in this shell would use a registry that forgets
    params.load("register", path=root / params.FILE)
    with _single_instance(root):
        _require_free_ports(port)
        # before the first server: from then on, a signal has to pass `finally`
        end_on_signals()
        group = ServerGroup(root, port)
        try:
            _start(group)
            while True:
                group.check()
                time.sleep(0.5)
        except KeyboardInterrupt:
            ignore_signals()
            say("Stopping")
        finally:
            ignore_signals()
            _end_servers(root)


def is_down(root: Path = Path(".")) -> bool:
    """Whether this host has a team's registry which does not run, and the environment names no other."""
    address = client.registry_address(root)
    own = client.database_file(root) is not None or address.startswith(f"http://{HOST}:")
    return own and host.administrator(root) is not None and host.running(root) is None


@contextmanager
def registry_alone(root: Path = Path(".")) -> Iterator[None]:
    """Run the team's registry without the other servers, for a change of accounts while `sadcl up` does not run.

    Raises:
        SadclError: the servers are starting, or the registry does not start.
    """
    with _single_instance(root):
        group = ServerGroup(root, free_port() if is_taken(PORT) else PORT)
        try:
            _start_registry(group)
            group.wait_for(REGISTRY)
            with mlflow_context.pointed_at(group.address(REGISTRY)):  # the environment may name the server that is down
                yield
        finally:
            _end_servers(root)


def down(root: Path = Path(".")) -> str:
    """Stop the servers of ``up`` from another shell, also after ``up`` was killed or its state file was damaged.

    Returns:
        A sentence about the result.

    Raises:
        SadclError: ``up`` runs, and nothing names its process; or another user ran it.
    """
    starter = _starter(root)
    if starter is not None:
        with suppress(psutil.NoSuchProcess):
            starter.terminate()
            # it ends its servers itself: after each of two signals it waits
            for survivor in psutil.wait_procs([starter], 2 * STOP_TIMEOUT + 8)[1]:
                survivor.kill()
    return "All servers are stopped" if _end_servers(root) or starter is not None else "No servers are running"


def _starter(root: Path) -> psutil.Process | None:
    """Process of `sadcl up`; None where none runs. It holds the lock, whatever has become of the state file."""
    lock = root / LOCK
    if not host.exists(lock):
        return None
    try:
        with suppress(BlockingIOError), files.open_locked(lock, wait=False):
            return None
    except PermissionError:
        raise SadclError(
            "The lock of the servers belongs to another user", where=lock, fix="Work as the user who ran `sadcl up`"
        ) from None
    with suppress(psutil.Error, ValueError):
        process = psutil.Process(int(lock.read_text().removeprefix("pid ")))
        # an `up` that is just starting has not written its pid yet
        if str(lock.resolve()) in {file.path for file in process.open_files()}:
            return process
    raise SadclError(
        "`sadcl up` runs, but its lock does not name its process",
        where=lock,
        fix=f"Press Ctrl-C where it runs, or end the process that `fuser {lock}` prints; then run `sadcl down` again",
    )


def _end_servers(root: Path) -> bool:
    ended = end(owner(root), STOP_TIMEOUT)
    (root / host.STATE).unlink(missing_ok=True)
    return ended


def _start(group: ServerGroup) -> None:
    from sadcl.services.http_protocol import PROTOCOL  # uvicorn, which the dashboards of one person do without

    is_first_start = host.administrator(group.root) is None
    _start_registry(group)
    prefect, login = prefect_settings(), host.prefect_login(group.root)
    # without the origin, pages of other servers on this host could read Prefect's API
    settings = {
        "PREFECT_SERVER_API_AUTH_STRING": login,
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": group.address(PREFECT),
    }
    group.start(PREFECT, prefect_command(group.port + PORT_OFFSETS[PREFECT]), prefect | settings | PROTOCOL)
    group.wait_for(REGISTRY)
    host.set_up(group.address(REGISTRY), group.root)
    # started before the registry answered: each takes about ten seconds
    group.wait_for(PREFECT)
    addresses = {client.ADDRESS: group.address(REGISTRY), "PREFECT_API_URL": f"{group.address(PREFECT)}/api"}
    worker = ["-m", "prefect", "--no-prompt", "worker", "start", "--pool", "sadcl", "--type", "process"]
    worker += ["--name", f"sadcl@{platform.node()}"]  # from which flows tell that its runs are on this host
    # the worker alone: flows register in its name, while stages get an environment without it
    notify = {name: os.environ[name] for name in (processes.NOTIFY,) if name in os.environ}
    logins = {**host.account_login(host.WORKER, group.root), processes.PREFECT_LOGIN: login, **notify}
    group.start(WORKER, [sys.executable, *worker], prefect | addresses | logins)
    # a process of its own: no flow of a trainer sees the log-in of the verifier in its environment
    logins = {**host.account_login(host.VERIFIER, group.root), processes.PREFECT_LOGIN: login, **notify}
    group.start(VERIFIER, [sys.executable, "-m", "flows.verify", "--serve"], prefect | addresses | logins)
    if _has_studies(group.root):
        command = optuna_command(group.port + PORT_OFFSETS[OPTUNA], "create_app")
        group.start(OPTUNA, command, addresses | optuna_settings())
        group.wait_for(OPTUNA)
    # the page needs Prefect's log-in for the flow that follows a decision
    review = addresses | PROTOCOL | {processes.PREFECT_LOGIN: login}
    group.start(REVIEW_PAGE, _review_command(group.port + PORT_OFFSETS[REVIEW_PAGE]), review)
    group.wait_for(REVIEW_PAGE)
    _print_next_steps(group.root, addresses, is_first_start)


def _start_registry(group: ServerGroup) -> None:
    from sadcl.services.http_protocol import PROTOCOL

    command, variables = host.server(group.port, group.root)
    group.start(REGISTRY, command, variables | PROTOCOL)


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
    return processes.OPTUNA_STORAGE in os.environ or (root / layout.OPTUNA_DATABASE).exists()


@contextmanager
def _single_instance(root: Path) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            stack.enter_context(files.lock(root / LOCK, "running these servers"))
        except files.LockedError:
            where = "the registry is still starting"
            with suppress(SadclError):  # a damaged state file
                where = (host.running(root) or {}).get("registry", where)
            raise SadclError(
                "The servers are already running", where=where, fix="Stop them with `sadcl down`"
            ) from None
        _end_servers(root)  # what a killed `up` has left
        yield


def _require_free_ports(port: int) -> None:
    for name, offset in PORT_OFFSETS.items():
        if is_taken(port + offset):
            message = f"Port {port + offset}, which {name} needs, is in use"
            raise SadclError(message, where=HOST, fix="Choose other ports with --port")
