"""Comparison of two scores files in a process of its own: its memory and time are not the page's.

``python -m sadcl.review.compare_worker`` is that process. Trainers write the files, so it is confined.
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sadcl import files, processes
from sadcl.errors import SadclError
from sadcl.review.side_by_side import compare
from sadcl.verification import confinement

MAX_IMMEDIATE = 2000
"""Most images whose comparison takes a moment."""
ANSWER = "answer.json"
LIMITS = confinement.Limits(memory=16 * confinement.GIB, seconds=3600)
PATIENCE = 10
"""Steps by which the process yields to others: pages are answered first."""
LARGEST_ANSWER = 64 * 2**20
"""Bytes that the answer may have; a thousand classes take less than one MiB."""


def compare_files(version_scores: Path, champion_scores: Path | None, threshold: float) -> dict[str, Any]:
    """Compare two models on the same images: few in this process, many in a child.

    Raises:
        SadclError: a file is damaged, or the process exceeded a limit.
    """
    paths = [path for path in (version_scores, champion_scores) if path is not None]
    if max(map(_images, paths)) > MAX_IMMEDIATE:
        return compare_in_child(version_scores, champion_scores, threshold)
    return compare(version_scores, champion_scores, threshold)


def _images(path: Path) -> int:
    """Number of images; 0 where the file can't be read, which ``compare`` reports."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return int(pq.read_metadata(path).num_rows)
    except (pa.ArrowException, OSError):
        return 0


def compare_in_child(version_scores: Path, champion_scores: Path | None, threshold: float) -> dict[str, Any]:
    """Compare two models on the same images, as ``side_by_side.compare`` does, in a confined process.

    Raises:
        SadclError: a file is damaged, or the process exceeded a limit.
    """
    paths = [path.resolve() for path in (version_scores, champion_scores) if path is not None]
    request = {"paths": [str(path) for path in paths], "threshold": threshold, "limits": asdict(LIMITS)}
    with tempfile.TemporaryDirectory() as folder:
        completed = subprocess.run(
            confinement.command(["-m", "sadcl.review.compare_worker"], paths, Path(folder)),
            input=json.dumps(request), text=True, cwd=folder, env=confinement.environment(Path(folder)), check=False,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        answer = _answer(Path(folder) / ANSWER, completed.returncode)
    if "error" in answer:
        raise SadclError(str(answer["error"]), where=answer.get("where"), fix=str(answer.get("fix") or ""))
    return dict(answer["value"])


def _answer(path: Path, status: int) -> dict[str, Any]:
    """The process's answer; one that ended without any broke a limit or was killed."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size > LARGEST_ANSWER:
        return {
            "error": f"The scores can't be compared: the process that compares them ended with status {status}",
            "fix": "They may be damaged, or larger than this machine",
        }
    answer = files.read_json(path)
    return answer if isinstance(answer, dict) else {"error": "The process that compares the scores gave no answer"}


def main() -> None:
    """Read a request from standard input, and write ``ANSWER`` into the working folder."""
    request = json.loads(sys.stdin.read())
    confinement.confine(confinement.Limits(**request["limits"]))
    processes.end_with_parents()
    os.nice(PATIENCE)
    version, champion = [*map(Path, request["paths"]), None][:2]
    assert version is not None
    answer: dict[str, Any]
    try:
        answer = {"value": compare(version, champion, request["threshold"])}
    except SadclError as error:
        answer = {"error": error.what, "where": error.where and str(error.where), "fix": error.fix}
    except Exception as error:  # any: the files are not trusted to fail in a known way
        answer = {"error": f"The scores can't be compared: {type(error).__name__}"}
    files.write_json(Path(ANSWER), answer)


if __name__ == "__main__":
    main()
