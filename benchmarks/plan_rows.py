"""``python -m benchmarks.plan_rows ROWS``: plan a job of so many listed photos; seconds and peak memory in MB, as JSON.

A program of its own, without torch: its peak memory is that of the plan.
"""

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from sadcl.batch import plan
from sadcl.batch.parts import About
from sadcl.data import manifest
from sadcl.data.manifest import Manifest, Row

FOLDER = 1000
"""Photos of a folder."""


def main(count: int) -> None:
    """Write a manifest, and plan its photos for an empty folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "manifest.parquet"
        manifest.write(path, "s3://photos/", _rows(count))
        started = time.perf_counter()
        todo = plan.make(Manifest(path), folder, About("0" * 64, ("a", "b"), None), retry=False)
        seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "memory": _peak(), "chunks": len(todo.chunks)}))


def _peak() -> float:
    """Peak resident memory of this program in MB; `ru_maxrss` would begin with that of its parent."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


def _rows(count: int) -> Iterator[Row]:
    for i in range(count):
        yield f"{i // FOLDER:07}/{i:09}.jpg", 100_000 + i % 9973, f"{i:032x}"


if __name__ == "__main__":
    main(int(sys.argv[1]))
