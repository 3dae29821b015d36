"""Routes of MLflow, Prefect and Optuna's dashboard: each that may change something was judged by a person.

``routes.csv`` has one line per route. ``rule``: a rule of the guard refuses or records it. ``MLflow's rights``: its own
permissions are enough. ``closed``: the guard answers it to nobody. ``read only``: it changes nothing. ``log-in``:
whoever knows Prefect's string, or may change studies.
"""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sadcl.accounts import host
from tests.paths import REPOSITORY

TABLE = Path(__file__).with_name("routes.csv")
ENOUGH = {
    "rule": {"rule"},
    "closed": {"closed"},
    "MLflow's rights": {"MLflow's rights"},
    "read only": {"rule", "closed", "MLflow's rights", "none"},
}
"""What the code has to do about a route of MLflow's server, by its judgement."""


def judgements(server: str) -> dict[tuple[str, str], str]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["server"] == server]
    return {(row["method"], row["route"]): row["judgement"] for row in rows}


def installed_routes(server: str, folder: Path) -> dict[tuple[str, str], set[str]]:
    """Routes of the installed version, and what the code does about them."""
    (folder / "params.yaml").write_text((REPOSITORY / "recipes/demo.yaml").read_text())
    variables = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))},
        **host.server(5000, folder)[1],
        "_MLFLOW_SGI_NAME": "uvicorn",
        "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{folder}/mlflow.db",
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "PREFECT_HOME": str(folder),
    }
    command = [sys.executable, "-m", "tests.services.routes", server]
    ended = subprocess.run(command, cwd=REPOSITORY, env=variables, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    routes: dict[tuple[str, str], set[str]] = {}
    for route in json.loads(ended.stdout.splitlines()[-1]):
        routes.setdefault((route["method"], route["route"]), set()).add(route["guard"])
    return routes


@pytest.mark.parametrize("server", ["mlflow", "prefect", "optuna"])
def test_every_route_that_may_change_something_was_judged(server: str, tmp_path: Path) -> None:
    judged, installed = judgements(server), installed_routes(server, tmp_path)
    new, gone = sorted(installed.keys() - judged.keys()), sorted(judged.keys() - installed.keys())
    assert not new, (
        f"{server} has routes that nobody judged: {new}. Find out what each changes and who may call it. Where the "
        f"server's own rights are not enough, write a rule in sadcl/guard/*_rules.py. Then add a line to {TABLE.name}."
    )
    assert not gone, f"{server} no longer has {gone}. Delete the lines in {TABLE.name}, and the rules without a route."
    if server == "mlflow":
        wrong = {route: guards for route, guards in installed.items() if not guards <= ENOUGH[judged[route]]}
        assert not wrong, f"The code does something else about these routes than {TABLE.name} says: {wrong}"
    else:
        assert set(judged.values()) <= {"log-in", "read only"}
