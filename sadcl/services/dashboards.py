"""Dashboards of MLflow, Optuna and Prefect, one at a time on loopback until Ctrl-C."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from sadcl import extras, layout, processes
from sadcl.errors import SadclError
from sadcl.progress import say
from sadcl.services.supervisor import HOST, end, free_port, is_taken, start, wait


def mlflow_command(port: int) -> list[str]:
    """Command that serves MLflow's registry and runs."""
    from sadcl.registry.client import pages_command

    return pages_command(port)


def optuna_command(port: int, app: str = "create_open_app") -> list[str]:
    """Command that serves Optuna's studies; ``app`` is a factory in ``optuna_login``."""
    from sadcl.tuning import storage

    with storage.silence_warnings():
        storage.open_storage()  # fail here with a sentence, not in the log of the dashboard
    bind = ["--bind", f"{HOST}:{port}", "--workers", "1", "--threads", "4", "--no-control-socket"]
    worker = ["--worker-class", "sadcl.services.gunicorn_worker.TimedWorker"]
    return [sys.executable, "-m", "gunicorn", *bind, *worker, f"sadcl.services.optuna_login:{app}()"]


def prefect_command(port: int) -> list[str]:
    """Command that serves Prefect's flows and runs."""
    api_url = f"PREFECT_SERVER_UI_API_URL=http://{HOST}:{port}/api"  # by default the page calls Prefect's usual port
    app = ["--factory", "sadcl.services.prefect_app:create_app", "--host", HOST, "--port", str(port)]
    # its event streams never end by themselves
    return ["env", api_url, sys.executable, "-m", "uvicorn", "--timeout-graceful-shutdown", "3", *app]


PAGES: dict[str, Callable[[int], list[str]]] = {
    "mlflow": mlflow_command,
    "optuna": optuna_command,
    "prefect": prefect_command,
}


def show(page: str, port: int | None = None) -> None:
    """Serve a dashboard until Ctrl-C or SIGTERM, and print its address once it answers.

    Raises:
        SadclError: there is no such dashboard, the port is in use, or the server exits.
    """
    if page not in PAGES:
        raise SadclError(f"There is no dashboard {page!r}", fix=f"Choose one of {', '.join(PAGES)}")
    extras.require("optuna_dashboard" if page == "optuna" else page)
    chosen = port or free_port()
    if is_taken(chosen):
        raise SadclError(f"Port {chosen} is in use", where=HOST, fix="Choose another with --port")
    # with its start time: servers that an earlier process with this pid left are not ours to end
    owner = processes.process_id(os.getpid())
    server = start(PAGES[page](chosen), owner, prefect_settings() | (optuna_settings() if page == "optuna" else {}))
    end_on_signals()
    try:
        wait(server, page, chosen)
        say(f"{page}: http://{HOST}:{chosen}{_runs_path() if page == 'mlflow' else ''}  (press Ctrl-C to stop)")
        server.wait()
    except KeyboardInterrupt:
        ignore_signals()
        say(f"{page}: stopped")
    finally:
        ignore_signals()
        end(owner)


def optuna_settings() -> dict[str, str]:
    """Environment of Optuna's dashboard: the address of its storage, which other servers do not get."""
    return {name: os.environ[name] for name in (processes.OPTUNA_STORAGE,) if name in os.environ}


def prefect_settings() -> dict[str, str]:
    """Environment of Prefect: its home in the project unless set, and no telemetry."""
    home = os.environ.get("PREFECT_HOME", str(layout.PREFECT_HOME.resolve()))
    Path(home).mkdir(parents=True, exist_ok=True)
    analytics = os.environ.get("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    return {"PREFECT_HOME": home, "PREFECT_SERVER_ANALYTICS_ENABLED": analytics}


def end_on_signals() -> None:
    """Exit through ``finally`` blocks on SIGTERM and SIGHUP: servers have sessions of their own and would survive."""
    signal.signal(signal.SIGTERM, _exit)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # by `nohup`, to go on after the end of its shell
        signal.signal(signal.SIGHUP, _exit)


def ignore_signals() -> None:
    """Ignore signals until all servers have ended: a second Ctrl-C would leave some of them running."""
    for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signal_number, signal.SIG_IGN)


def _exit(signal_number: int, _: object) -> None:
    raise SystemExit(128 + signal_number)


def _runs_path() -> str:
    """Path of the project's runs in MLflow's page, which otherwise opens on traces of language models."""
    from sadcl.registry.status import experiment

    try:
        experiment_id = experiment()
    except SadclError:  # the page works without it
        experiment_id = None
    return "" if experiment_id is None else f"/#/experiments/{experiment_id}?workflowType=machine_learning"
