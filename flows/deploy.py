"""Deployment of the weekly retraining on a Prefect server: ``python -m flows.deploy``."""

import os
import subprocess
import sys
from contextlib import suppress
from inspect import signature
from pathlib import Path
from typing import Any

import yaml

from flows import environment, runs, watch
from flows.messages import SERVER_FIX, login_error, translate_errors
from sadcl import files, layout, pipeline, processes
from sadcl.errors import SadclError
from sadcl.progress import say

TEMPLATE = Path(__file__).with_name("prefect.yaml")
"""Deployments of the installed package; it works in any project, with or without a copy of the flows."""
STEP = "prefect.deployments.steps.set_working_directory"


def render(project: Path, deployed: Any = None) -> dict[str, Any]:
    """Prefect's deployment file for a project: the template with the absolute path in place of PROJECT.

    Args:
        project: the project's folder.
        deployed: the deployment on the server, whose schedules and parameters stay as people have set them.
    """
    value: dict[str, Any] = yaml.safe_load(TEMPLATE.read_text(encoding="utf-8"))
    for step in value["pull"]:
        if step.get(STEP, {}).get("directory") == "PROJECT":
            step[STEP]["directory"] = str(project.resolve())
    if deployed is not None:
        (deployment,) = value["deployments"]
        del deployment["schedules"]  # Prefect keeps the schedules where the file has none
        from flows.retrain import retrain

        # those of an older sadcl that this one does not have would be refused
        known = signature(retrain.fn).parameters
        chosen = {name: value for name, value in deployed.parameters.items() if name in known}
        deployment |= {"parameters": {**deployment["parameters"], **chosen}, "paused": deployed.paused}
    return value


def deploy(project: Path) -> list[str]:
    """Create or update the work pool and the deployment; one that exists keeps its schedules and parameters.

    Args:
        project: the project's folder, in which the runs work.

    Returns:
        The outcome and the next steps, one sentence per line.

    Raises:
        SadclError: the folder is no project, or the server can't be reached or rejects the deployment.
    """
    pipeline.require_project(project)
    with translate_errors():
        deployed = _deployed()
    pool = ["work-pool", "create", runs.POOL, "--type", "process", "--overwrite"]
    files.write_text(project / layout.PREFECT_DEPLOYMENTS, yaml.safe_dump(render(project, deployed), sort_keys=False))
    for words in (pool, ["deploy", "--all", "--prefect-file", str(layout.PREFECT_DEPLOYMENTS)]):
        _prefect(project, *words)
    with translate_errors():
        interrupted = runs.close_lost(project)
        watch.refresh(project)
    return [
        *interrupted,
        "The weekly retraining is deployed.",
        *(["Its schedule and parameters stay as they were."] if deployed is not None else []),
        f"Keep `prefect server start` and `prefect worker start --pool {runs.POOL} --name {runs.WORKER_NAME}` running, "
        f"with PREFECT_HOME={os.environ['PREFECT_HOME']} or your server's PREFECT_API_URL.",
    ]


def _deployed() -> Any:
    """The deployment as the server has it; None before the first."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    with suppress(ObjectNotFound), get_client(sync_client=True) as client:
        return client.read_deployment_by_name(watch.DEPLOYMENT)
    return None


def _prefect(project: Path, *words: str) -> None:
    command = [sys.executable, "-m", "prefect", "--no-prompt", *words]
    env = processes.child_environment(processes.PREFECT_LOGIN)
    result = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        if "401 Unauthorized" in result.stderr + result.stdout:
            raise login_error()
        reason = (result.stderr.strip() or result.stdout.strip() or "no output").splitlines()[-1]
        raise SadclError(
            f"`prefect {' '.join(words[:2])}` failed: {reason.rstrip('.')}", where=_server(), fix=SERVER_FIX
        )


def _server() -> str:
    return os.environ.get("PREFECT_API_URL") or f"PREFECT_HOME={os.environ['PREFECT_HOME']}"


def main() -> None:
    """Deploy from the current folder; exit with 0, or with 2 and a message."""
    environment.prepare()
    try:
        for line in deploy(Path()):
            say(line)
    except SadclError as error:
        print(f"deploy: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
