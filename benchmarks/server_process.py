"""Programs of this folder as child processes: each prints ``READY`` and its address, and ends with its stdin."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sadcl.errors import SadclError

REPOSITORY = Path(__file__).parents[1]
END_SECONDS = 60


@contextmanager
def run(module: str, *words: str) -> Iterator["tuple[subprocess.Popen[str], str]"]:
    """Run a module, such as ``benchmarks.ray_nodes``; yields the process and its address.

    Raises:
        SadclError: it ended before it was ready.
    """
    # what a caller has put on the path stays
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    child = subprocess.Popen(
        [sys.executable, "-m", module, *words], cwd=REPOSITORY, env={**os.environ, "PYTHONPATH": path}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert child.stdin is not None
    assert child.stdout is not None
    with child.stdin, child.stdout:
        try:
            line = next((line for line in child.stdout if line.startswith("READY")), "")
            if not line:
                raise SadclError(f"{module} has not started", fix="Run it by itself and read its errors")
            yield child, line.split()[1]
        finally:
            child.stdin.close()
            try:
                child.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
