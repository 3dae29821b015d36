"""Deploy the weekly retraining to the Prefect server: ``python -m flows.deploy``."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from flows import environment
from flows.messages import unknown
from sadcl import files, layout, pipeline, processes
from sadcl.errors import SadclError
from sadcl.progress import say

TEMPLATE = Path("flows/prefect.yaml")
FIX = "Start the server (`prefect server start`), or check PREFECT_API_URL"
STEP = "prefect.deployments.steps.set_working_directory"


def render(project: Path, template: Path = TEMPLATE) -> dict[str, Any]:
    """The template with the project's absolute path in place of PROJECT."""
    value: dict[str, Any] = yaml.safe_load((project / template).read_text(encoding="utf-8"))
    for step in value["pull"]:
        if step.get(STEP, {}).get("directory") == "PROJECT":
            step[STEP]["directory"] = str(project.resolve())
    return value


def deploy(project: Path) -> list[str]:
    """Make the work pool where it is missing, and the deployments.

    Returns:
        What to do next, a sentence a line.

    Raises:
        SadclError: the server can't be reached, or refuses.
    """
    pipeline.require_project(project)
    pools = ["work-pool", "create", "sadcl", "--type", "process", "--overwrite"]
    files.write_text(project / layout.PREFECT_DEPLOYMENTS, yaml.safe_dump(render(project), sort_keys=False))
    for words in (pools, ["deploy", "--all", "--prefect-file", str(layout.PREFECT_DEPLOYMENTS)]):
        _prefect(project, *words)
    return [
        "The weekly retraining is deployed.",
        "Keep `prefect server start` and `prefect worker start --pool sadcl` running for it,",
        f"with PREFECT_HOME={os.environ['PREFECT_HOME']} or your server's PREFECT_API_URL.",
    ]


def _prefect(project: Path, *words: str) -> None:
    command = [sys.executable, "-m", "prefect", "--no-prompt", *words]
    mine = processes.child_environment(processes.PREFECT_LOGIN)
    asked = subprocess.run(command, cwd=project, env=mine, capture_output=True, text=True, check=False)
    if asked.returncode != 0:
        if "401 Unauthorized" in asked.stderr + asked.stdout:
            raise unknown()
        said = (asked.stderr.strip() or asked.stdout.strip() or "nothing").splitlines()[-1]
        raise SadclError(f"Prefect refused `{' '.join(words[:2])}`: {said.rstrip('.')}", where=_server(), fix=FIX)


def _server() -> str:
    return os.environ.get("PREFECT_API_URL") or f"PREFECT_HOME={os.environ['PREFECT_HOME']}"


def main() -> None:
    """Deploy, and say what to do next."""
    environment.prepare()
    try:
        for line in deploy(Path()):
            say(line)
    except SadclError as error:
        print(f"deploy: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
