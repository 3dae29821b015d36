"""Running of a stage as a program: a line at start and end, errors as sentences, exit status, duration."""

import os
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress

from sadcl import extras, files, layout, processes, progress
from sadcl.errors import SadclError
from sadcl.progress import duration, prepare_output, say
from sadcl.training import launch

USER_ERROR = 2
"""Exit status of a stage that stops for an error that its user can fix."""
IN_RANKS = ("pretrain", "train")
"""Stages that several processes can share."""


def run(name: str, reads: str, main: Callable[[], str | None]) -> None:
    """Run a stage in this process and exit with 1 or 2 when it fails.

    Args:
        name: the stage, as ``dvc.yaml`` has it.
        reads: its inputs, for the first line.
        main: does the work and returns its result, for the last line; None where another process has printed it.
    """
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "False")
    prepare_output()
    processes.end_with_parents()
    started = time.monotonic()
    if launch.rank() > 0:
        progress.silence()
    if not launch.is_own_rank():
        say(f"{name}: reads {reads}")
    try:
        _require_one_dvc(name)
        result = main()
    except SadclError as error:
        print(f"{name}: {error}", file=sys.stderr, flush=True)
        sys.exit(USER_ERROR)
    except ModuleNotFoundError as error:
        print(f"{name}: {extras.explain(error)}", file=sys.stderr, flush=True)
        sys.exit(USER_ERROR)
    except Exception:
        traceback.print_exc()
        print(f"{name}: this is a bug in sadcl; please report the lines above", file=sys.stderr, flush=True)
        sys.exit(1)
    if result is None or launch.rank() > 0:
        return
    seconds = time.monotonic() - started
    say(f"{name}: {result} in {duration(seconds)}")
    last_run = {"seconds": round(seconds, 1), "ended": round(time.time())}
    with suppress(SadclError):  # a full disk: the stage is done, and only `sadcl status` lacks its duration
        files.write_json(layout.LAST_RUNS / f"{name}.json", last_run)


def _require_one_dvc(name: str) -> None:
    """Refuse what would write the same files in several processes: DVC, or any other stage, under torchrun.

    Raises:
        SadclError: torchrun has started DVC, or a stage that is no training, more than once.
    """
    if launch.world() == 1 or launch.is_own_rank():
        return
    if "DVC_STAGE" in os.environ or name not in IN_RANKS:
        number = os.environ["LOCAL_WORLD_SIZE"]
        program = "DVC" if "DVC_STAGE" in os.environ else f"the stage {name}"
        raise SadclError(
            f"torchrun has started {program} {launch.world()} times",
            fix=f"Run `SADCL_PROCESSES={number} dvc repro` instead",
        )
