"""What a team needs on one host, on loopback: started together, ended together."""

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
from sadcl.services.dashboards import end_on_signals, ignore_signals, prefect_page, prefect_settings
from sadcl.services.supervisor import HOST, Server, end, start, taken, wait

LOCK, LOGS = layout.TEAM / "lock", layout.TEAM / "logs"
PORT = 5000
STOP_SECONDS = 6.0
"""Until a server that was asked to end is made to."""
REVIEW, STUDIES = "sadcl.review.app:create_app", "sadcl.services.optuna_login:create_app()"
REGISTRY, PREFECT, OPTUNA, PAGE, WORKER = "registry", "prefect", "optuna", "review", "worker"
AFTER = {REGISTRY: 0, PREFECT: 1, OPTUNA: 2, PAGE: 3}
"""Ports, from the registry's on."""


def up(port: int = PORT, root: Path = Path(".")) -> None:
    """Start registry, Prefect's server and a worker, the studies and the review page; stay until Ctrl-C.

    Args:
        port: of the registry; the others take the three after it.
        root: the project's folder.

    Raises:
        SadclError: it runs already, a port is taken, or a server does not start; then nothing is left running.
    """
    extras.require("flask_wtf", "prefect", "optuna_dashboard")
    params.load("register", path=root / params.FILE)
    with _only_one(root):
        _no_port_is_taken(port)
        end_on_signals()
        crew = _ServerGroup(root, port)
        try:
            _start(crew)
            crew.watch()
        except KeyboardInterrupt:
            ignore_signals()
            say("Ending")
        finally:
            ignore_signals()
            end(_whom(root), STOP_SECONDS)
            (root / host.UP).unlink(missing_ok=True)


def down(root: Path = Path(".")) -> str:
    """End what ``up`` started, from another shell, or what is left of one that was killed.

    Returns:
        What happened, as a sentence.
    """
    noted = host.running(root)
    if noted is not None:
        with suppress(psutil.NoSuchProcess):
            starter = psutil.Process(int(noted["up"].partition(":")[0]))
            starter.terminate()
            for hung in psutil.wait_procs([starter], STOP_SECONDS + 4)[1]:
                hung.kill()
    ended = end(_whom(root), STOP_SECONDS)
    (root / host.UP).unlink(missing_ok=True)
    return "Everything is ended" if ended or noted is not None else "Nothing runs here"


class _ServerGroup:
    """Servers that we started, and where they answer."""

    def __init__(self, root: Path, port: int) -> None:
        self.root, self.port = root, port
        self.servers: dict[str, Server] = {}
        up = {"up": processes.process_id(os.getpid()), "registry": self.address(REGISTRY)}
        files.write_json(root / host.UP, up)  # for `down` and `status`, before there is anything to end

    def start(self, name: str, command: list[str], variables: dict[str, str]) -> None:
        """Start one."""
        self.servers[name] = start(command, _whom(self.root), variables, self.root / LOGS / f"{name}.log")

    def address(self, name: str) -> str:
        return f"http://{HOST}:{self.port + AFTER[name]}"

    def answer(self, name: str) -> None:
        """Wait for a page, and say where it is."""
        wait(self.servers[name], name, self.port + AFTER[name], f"{self.root / LOGS / name}.log says why")
        say(f"{name}: {self.address(name)}")

    def watch(self) -> None:
        """Stay as long as the registry does; of another that ends by itself it is said."""
        while True:
            for name, server in list(self.servers.items()):
                if server.poll() is None:
                    continue
                ended = f"{name} ended by itself with status {server.returncode}"
                if name == REGISTRY:
                    raise SadclError(ended, fix=f"{self.root / LOGS / name}.log says why")
                say(f"{ended}; {self.root / LOGS / name}.log says why")
                del self.servers[name]
            time.sleep(0.5)


def _start(crew: _ServerGroup) -> None:
    first = host.administrator(crew.root) is None
    command, variables = host.server(crew.port, crew.root)
    crew.start(REGISTRY, command, variables)
    prefect, login = prefect_settings(), host.prefect_login(crew.root)
    asks = {"PREFECT_SERVER_API_AUTH_STRING": login, "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": crew.address(PREFECT)}
    crew.start(PREFECT, prefect_page(crew.port + AFTER[PREFECT]), prefect | asks)
    crew.answer(REGISTRY)
    host.set_up(crew.address(REGISTRY), crew.root)
    crew.answer(PREFECT)
    told = {client.ADDRESS: crew.address(REGISTRY), "PREFECT_API_URL": f"{crew.address(PREFECT)}/api"}
    worker = ["-m", "prefect", "--no-prompt", "worker", "start", "--pool", "sadcl", "--type", "process"]
    logins = {**host.worker_login(crew.root), processes.PREFECT_LOGIN: login}
    crew.start(WORKER, [sys.executable, *worker], prefect | told | logins)
    if _has_studies(crew.root):
        served = ["-m", "gunicorn", "--bind", f"{HOST}:{crew.port + AFTER[OPTUNA]}", "--workers", "1", "--threads", "4"]
        crew.start(OPTUNA, [sys.executable, *served, "--no-control-socket", STUDIES], told)
        crew.answer(OPTUNA)
    page = ["-m", "uvicorn", "--factory", REVIEW, "--host", HOST, "--port", str(crew.port + AFTER[PAGE])]
    served = [sys.executable, *page, "--no-server-header", "--no-proxy-headers"]
    crew.start(PAGE, served, told | {processes.PREFECT_LOGIN: login})  # which starts the flow that follows a decision
    crew.answer(PAGE)
    if first:
        say(f"The administrator's name and password are in {crew.root / host.ADMINISTRATOR}")
        say("Each person needs an account: sadcl user add NAME --role trainer|reviewer|reader")
    say("A shell works with these servers after")
    for variable, value in {**told, processes.PREFECT_LOGIN: '"$(sadcl user prefect)"'}.items():
        say(f"  export {variable}={value}")
    say("Ctrl-C here, or `sadcl down` elsewhere, ends them all")


def _has_studies(root: Path) -> bool:
    from sadcl.tuning import storage

    found = storage.ELSEWHERE in os.environ or (root / layout.OPTUNA_DATABASE).exists()
    if found:
        with storage.quiet():
            storage.open_storage(root)  # what is wrong with it is said here, and not in a log
    return found


@contextmanager
def _only_one(root: Path) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            stack.enter_context(files.lock(root / LOCK, "running these servers"))
        except SadclError:
            where = (host.running(root) or {}).get("registry", "its registry starts just now")
            raise SadclError("The servers run already", where=where, fix="`sadcl down` ends them") from None
        down(root)  # what one that was killed has left
        yield


def _no_port_is_taken(port: int) -> None:
    for name, after in AFTER.items():
        if taken(port + after):
            raise SadclError(
                f"Port {port + after} is taken, where {name} would answer", where=HOST, fix="Choose others with --port"
            )


def _whom(root: Path) -> str:
    """The team, as its servers' environment names it; a worktree's link leads to the same folder."""
    return str((root / layout.TEAM).resolve())
