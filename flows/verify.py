"""Prefect flow of the verifier, which scores and judges waiting versions: ``python -m flows.verify [--serve]``.

`sadcl up` keeps the deployment ``verify/queue`` served: it starts a run as soon as a version waits. A run that was
killed goes on where it stood, since finished parts of the scores are cached.
"""

import argparse
import sys
import threading
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from flows import environment

environment.prepare()  # before Prefect is imported

from prefect import State, flow, get_run_logger
from prefect.deployments import run_deployment
from prefect.states import Completed
from prefect.types.entrypoint import EntrypointType

from flows import runs, watch
from flows.messages import install_log_filter, run_command, translate_errors
from sadcl import layout, params, pipeline
from sadcl.data.shards.index import INDEX
from sadcl.progress import try_say
from sadcl.project import notifications

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

    from sadcl.verification.inputs import Inputs

QUEUE = "queue"
"""Name of the deployment."""
POLL = 5.0
"""Seconds between looks at the registry."""
LONGEST_PAUSE = 600.0
"""Most seconds before the next run after failed ones; the first pause is ``POLL``, and each failure doubles it."""


@flow(name="verify")
def verify() -> State[Any]:
    """Score and judge every version of this folder's project that waits, and write the records."""
    # no parameter for the folder: whoever may start runs must not choose the test photos
    install_log_filter()
    from sadcl.verification import queue

    log = get_run_logger()
    with runs.recorded(Path(".")):
        results = queue.verify_waiting(report=log.info)
    for line in results:
        log.info(line)
    return Completed(message=results[-1] if results else "No version waits for a verification.")


def serve() -> None:
    """Serve the deployment until the process ends, and start a run whenever a version waits."""
    watch.start()
    watcher = threading.Thread(target=_watch, name="watch", daemon=True)
    watcher.start()
    verify.serve(
        name=QUEUE, limit=1, entrypoint_type=EntrypointType.MODULE_PATH, pause_on_shutdown=False,
        print_starting_message=False, description="Scores and judges registered versions with the protected test data.",
    )  # fmt: skip


def _watch() -> None:
    """Start a run whenever a version waits, later after each failed one; report what hinders a verification once."""
    reported, pause = "", POLL
    while True:
        time.sleep(pause)
        problem, run = _look()
        pause = min(LONGEST_PAUSE, pause * 2) if problem else POLL
        with suppress(Exception):  # any, such as a full disk: the next look reports it again
            if problem and problem != reported:
                _report(problem, run)
            reported = problem


def _look() -> tuple[str, str]:
    """Start a run if a version waits, and wait for its end; what hinders a verification, and the name of a failed run.

    Both are empty where nothing does.
    """
    try:
        if _is_waiting(Path(".")):
            # until it ends: the deployment has room for one run at a time
            run = cast("FlowRun", run_deployment(f"verify/{QUEUE}", timeout=None, poll_interval=2))
            if run.state is not None and not run.state.is_completed():
                return run.state.message or run.state.name or "", run.name
    except Exception as error:  # any: the next look may find the servers again
        return str(error), ""
    return "", ""


def _report(problem: str, run: str) -> None:
    """Print what hinders a verification; notify people of a failed run."""
    try_say(f"verify: {f'run {run}: ' if run else ''}{problem}")
    if run:
        notifications.notify(Path("."), "sadcl: a verification failed", f"{problem}\n({run})", "failure")


def _is_waiting(root: Path) -> bool:
    """Whether a version waits for a verification.

    Raises:
        SadclError: versions wait, and can't be verified: the project's criteria are not the accepted ones, or its test
            photos are missing.
    """
    from sadcl.registry import client, criteria, lookup
    from sadcl.verification import promotion, queue

    name = params.load("register", path=root / params.FILE).register_.name
    with client.connect(root) as connection:
        if not lookup.list_versions(connection, name):
            return False
        protected = _load_inputs(root, tuple(map(_changed, (root / params.FILE, root / layout.TEST_SHARDS / INDEX))))
        if not queue.waiting(connection, name, protected.criteria.digest):
            return False
        accepted = criteria.accepted(connection, name)
    if accepted is not None:
        promotion.require_accepted(accepted, protected)
    return True


@lru_cache(maxsize=1)
def _load_inputs(root: Path, stamps: tuple[int, ...]) -> "Inputs":  # noqa: ARG001 - a change of a stamp reads again
    from sadcl.verification.inputs import load_inputs

    return load_inputs(root)


def _changed(path: Path) -> int:
    """Time of a file's last change in nanoseconds; 0 where it is missing."""
    return path.stat().st_mtime_ns if path.exists() else 0


def main() -> None:
    """Parse the arguments, then serve or run the flow; exit with 0, or with 2 and a message."""
    parser = argparse.ArgumentParser(prog="python -m flows.verify", description="Verify the versions that wait.")
    parser.add_argument("--serve", action="store_true", help="keep running, as `sadcl up` does")
    arguments = parser.parse_args()

    def run() -> State[Any]:
        pipeline.require_project()
        with translate_errors():
            if not arguments.serve:
                return verify(return_state=True)
            serve()
        sys.exit(0)

    run_command("verify", run)


if __name__ == "__main__":
    main()
