"""One page: it opens on loopback, on a free port, until Ctrl-C."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from sadcl import extras, processes
from sadcl.errors import SadclError
from sadcl.progress import say
from sadcl.services.supervisor import HOST, end, free_port, start, taken, wait


def mlflow_page(port: int) -> list[str]:
    """The command that shows MLflow's registry and runs."""
    from sadcl.registry.client import page_command

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
    extras.require("optuna_dashboard" if page == "optuna" else page)
    chosen = port or free_port()
    if taken(chosen):
        raise SadclError(f"Port {chosen} is taken", where=HOST, fix="Choose another with --port")
    us = processes.process_id(os.getpid())
    server = start(PAGES[page](chosen), us, prefect_settings())
    end_on_signals()
    try:
        wait(server, page, chosen)
        say(f"{page}: http://{HOST}:{chosen}{_runs() if page == 'mlflow' else ''}  (Ctrl-C ends it)")
        server.wait()
    except KeyboardInterrupt:
        ignore_signals()
        say(f"{page}: ended")
    finally:
        ignore_signals()
        end(us)


def prefect_settings() -> dict[str, str]:
    """Where Prefect keeps its things, unless a person has said otherwise; nothing is sent to anybody."""
    home = os.environ.get("PREFECT_HOME", str(Path(".sadcl/prefect").resolve()))
    Path(home).mkdir(parents=True, exist_ok=True)
    said = os.environ.get("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    return {"PREFECT_HOME": home, "PREFECT_SERVER_ANALYTICS_ENABLED": said}


def end_on_signals() -> None:
    """Leave in order where somebody ends us: servers have sessions of their own and would outlive us."""
    for sign in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, _end)


def ignore_signals() -> None:
    """From now on nobody ends us before we have ended the servers: a second Ctrl-C would leave some."""
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, signal.SIG_IGN)


def _end(sign: int, _: object) -> None:
    raise SystemExit(128 + sign)


def _runs() -> str:
    """Where MLflow's page shows our runs; without it, it begins with the traces of language models."""
    from sadcl.registry.status import experiment

    try:
        found = experiment()
    except SadclError:  # the page itself can be shown all the same
        found = None
    return "" if found is None else f"/#/experiments/{found}?workflowType=machine_learning"
