"""What follows a decision: the flow ``promote`` brings the project's files in line with the registry.

A failure here takes nothing back: the decision is made, and the same repair can be run again by ``sadcl sync``.
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

Acting = Callable[[], AbstractContextManager[None]]
"""Inside, the registry is asked as the person who decided, and nobody else in this process asks it anything."""
Aftermath = Callable[[Path, Acting], str]
"""From the project's folder to what came of it, in words."""

LONGEST = 120
"""Seconds that the flow may take, Prefect's start included."""
STANDS = "The decision stands, but the project's files could not be brought in line."
_OUTCOME = re.compile(r"^promote: (completed|failed): (.*)$", re.MULTILINE)


def by_flow(root: Path, acting: Acting) -> str:
    """Run ``python -m flows.promote`` in the project, with a log-in only where the registry asks for one.

    Where Prefect can't be had the same is done here. `sadcl sync` does what a flow that was ended has left.
    """
    with acting():
        surroundings = dict(os.environ)
    printed = _run(root, surroundings)
    if printed is None:
        return f"{STANDS} The flow `promote` took more than {LONGEST} s and was ended. Run `sadcl sync`."
    told = _OUTCOME.findall(printed)
    if not told:
        return f"Prefect did not start, so the review page went on without it. {in_process(root, acting)}"
    state, words = told[-1]
    return str(words) if state == "completed" else f"{STANDS} {words}"


def in_process(root: Path, acting: Acting) -> str:
    """The same without Prefect."""
    from sadcl.registry.sync import sync

    try:
        with acting():
            repaired = sync(root)
    except SadclError as error:
        return f"{STANDS} {error}"
    return "The project's files were brought in line." if repaired else "The project's files are in line."


def _run(root: Path, surroundings: dict[str, str]) -> str | None:
    """What the flow printed; None where it took too long."""
    command = [sys.executable, "-m", "flows.promote"]
    with subprocess.Popen(
        command, cwd=root, env=surroundings, text=True, errors="replace", start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as child:  # fmt: skip
        try:
            return child.communicate(timeout=LONGEST)[0]
        except subprocess.TimeoutExpired:
            processes.end_group(child)
            return None
