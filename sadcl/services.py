"""Pages that run beside the loop: each opens on loopback, on a free port, until Ctrl-C."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from sadcl.errors import SadclError
from sadcl.progress import say

HOST = "127.0.0.1"
START_SECONDS = 90


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def mlflow_page(port: int) -> list[str]:
    """The command that shows MLflow's registry and runs."""
    from sadcl.registry.store import page_command

    return page_command(port)


def optuna_page(port: int) -> list[str]:
    """The command that shows Optuna's studies."""
    from sadcl.tuning.study import dashboard_command

    return dashboard_command(port)


def prefect_page(port: int) -> list[str]:
    """The command that shows Prefect's flows and runs."""
    asks = f"PREFECT_SERVER_UI_API_URL=http://{HOST}:{port}/api"  # the page asks at the usual port otherwise
    return ["env", asks, sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(port)]


PAGES: dict[str, Callable[[int], list[str]]] = {"mlflow": mlflow_page, "optuna": optuna_page, "prefect": prefect_page}


def show(page: str, port: int | None = None) -> None:
    """Run one page until Ctrl-C or SIGTERM; its address is printed once it answers.

    Raises:
        SadclError: no such page, the port is taken, or the server ends by itself.
    """
    if page not in PAGES:
        raise SadclError(f"There is no page {page!r}", fix=f"Choose one of {', '.join(PAGES)}")
    chosen = port or free_port()
    if _answers(chosen):
        raise SadclError(f"Port {chosen} is taken", where=HOST, fix="Choose another with --port")
    own = {"PREFECT_HOME": str(Path(".sadcl/prefect").resolve()), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    environment = {**own, **os.environ}
    command = PAGES[page](chosen)
    Path(environment["PREFECT_HOME"]).mkdir(parents=True, exist_ok=True)
    server = subprocess.Popen(command, env=environment, start_new_session=True)
    for sign in (signal.SIGTERM, signal.SIGHUP):  # the server has a session of its own and would outlive us
        signal.signal(sign, _end)
    try:
        _wait(server, page, chosen)
        say(f"{page}: http://{HOST}:{chosen}{_runs() if page == 'mlflow' else ''}  (Ctrl-C ends it)")
        server.wait()
    except KeyboardInterrupt:
        say(f"{page}: ended")
    finally:
        stop(server)


def _end(sign: int, _: object) -> None:
    raise SystemExit(128 + sign)


def stop(server: "subprocess.Popen[bytes]", patience: float = 10.0) -> None:
    """End a server and everything it started."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, sign)
            server.wait(patience)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _wait(server: "subprocess.Popen[bytes]", page: str, port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _answers(port):
        if server.poll() is not None:
            raise SadclError(f"{page} ended by itself with status {server.returncode}", fix="Its lines above say why")
        if time.monotonic() > deadline:
            raise SadclError(f"{page} did not answer in {START_SECONDS} s", where=f"{HOST}:{port}", fix="Try again")
        time.sleep(0.2)


def _runs() -> str:
    """Where MLflow's page shows our runs; without it, it begins with the traces of language models."""
    from sadcl.registry.status import experiment

    try:
        found = experiment()
    except SadclError:  # the page itself can be shown all the same
        found = None
    return "" if found is None else f"/#/experiments/{found}?workflowType=machine_learning"


def _answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://{HOST}:{port}/", timeout=2).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True
