"""Synchronisation after a decision: the flow ``promote`` brings the project's files in line with the registry.

A failure here takes nothing back. The registry holds the decision, and `sadcl sync` repeats the repair.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from sadcl import processes
from sadcl.errors import SadclError

LoginContext = Callable[[], AbstractContextManager[None]]
"""Opens a context in which this process calls the registry as the person who decided, and as nobody else."""
AfterDecision = Callable[[Path, LoginContext], str]
"""Takes the project's folder and a log-in, and returns a sentence about the result."""

TIMEOUT = 120
"""Seconds that the flow may take, Prefect's start included."""
DECISION_STANDS = "The decision stands, but the project's files could not be synchronised."
_OUTCOME = re.compile(r"^promote: (completed|failed): (.*)$", re.MULTILINE)


def sync_by_flow(root: Path, login: LoginContext) -> str:
    """Run ``python -m flows.promote`` in the project, with credentials only where the registry needs them.

    Where Prefect does not start, this process synchronises the files itself. `sadcl sync` completes what a flow that
    timed out has left.
    """
    with login():
        environment = dict(os.environ)
    output = _run_flow(root, environment)
    if output is None:
        return f"{DECISION_STANDS} The flow `promote` took more than {TIMEOUT} s and was stopped. Run `sadcl sync`."
    outcomes = _OUTCOME.findall(output)
    if not outcomes:
        return f"Prefect did not start, so the review page continued without it. {sync_in_process(root, login)}"
    state, message = outcomes[-1]
    return str(message) if state == "completed" else f"{DECISION_STANDS} {message}"


def sync_in_process(root: Path, login: LoginContext) -> str:
    """Synchronise the project's files in this process, without Prefect."""
    from sadcl.registry.sync import sync

    try:
        with login():
            changed = sync(root)
    except SadclError as error:
        return f"{DECISION_STANDS} {error}"
    return "The project's files were updated from the registry." if changed else "The project's files are in line."


def _run_flow(root: Path, environment: dict[str, str]) -> str | None:
    """The flow's output, or None after ``TIMEOUT``."""
    command = [sys.executable, "-m", "flows.promote"]
    with subprocess.Popen(
        command, cwd=root, env=environment, text=True, errors="replace", start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as child:  # fmt: skip
        try:
            return child.communicate(timeout=TIMEOUT)[0]
        except subprocess.TimeoutExpired:
            processes.end_group(child)
            return None
