"""One short file a DVC stage: read files, call a room, write files."""

import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sadcl.errors import SadclError

try:
    from sadcl import files, processes
    from sadcl.progress import duration, say
except ModuleNotFoundError as error:  # a dvc from elsewhere runs stages with the Python that comes first on the path
    fix = "Activate the project's environment (`. .venv/bin/activate`), or run `make install`"
    print(SadclError(f"The package {error.name} is missing", where=sys.executable, fix=fix), file=sys.stderr)
    sys.exit(2)

LAST_RUNS = Path(".sadcl/runs")
"""A file a stage: when it ran last and how long; nothing reads it but people."""

processes.before_torch()  # this package is loaded before any stage

FAILED = 2
"""Exit status of a stage that stops for a reason that a person can mend."""


def run(name: str, reads: str, stage: Callable[[], str]) -> None:
    """Run a stage as a program: a line at the start, a line at the end, an error in words.

    Args:
        name: the stage, as ``dvc.yaml`` has it.
        reads: what it reads, for the first line.
        stage: does the work and returns what it made, for the last line.
    """
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "False")
    warnings.filterwarnings("ignore")
    processes.end_with_parents()
    started = time.monotonic()
    say(f"{name}: reads {reads}")
    try:
        made = stage()
    except SadclError as error:
        print(f"{name}: {error}", file=sys.stderr, flush=True)
        sys.exit(FAILED)
    except Exception:
        traceback.print_exc()
        print(f"{name}: this is a bug in sadcl; please report the lines above", file=sys.stderr, flush=True)
        sys.exit(1)
    seconds = time.monotonic() - started
    say(f"{name}: {made} in {duration(seconds)}")
    with suppress(SadclError):  # a full disk: the stage is done, and only `sadcl status` knows less
        files.write_json(LAST_RUNS / f"{name}.json", {"seconds": round(seconds, 1), "ended": round(time.time())})
