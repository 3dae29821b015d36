"""Comparison of registered scores or tables of photos in a process of its own: its memory is not the page's.

``python -m sadcl.review.compare_worker`` is that process. Trainers write the files, so it is confined.
"""

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sadcl import processes
from sadcl.errors import SadclError
from sadcl.review import data_changes
from sadcl.review.side_by_side import compare
from sadcl.verification import confined_call, confinement

MAX_IMMEDIATE = 2000
"""Most images whose comparison takes a moment."""
WORKER = "sadcl.review.compare_worker"
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
    if max(map(count_photos, paths)) > MAX_IMMEDIATE:
        return compare_in_child(version_scores, champion_scores, threshold)
    return compare(version_scores, champion_scores, threshold)


def compare_tables(version: Path, champion: Path | None, project: Path | None) -> dict[str, Any]:
    """Compare the photos and labels behind a version: of few in this process, of many in a child.

    Raises:
        SadclError: a table is damaged, or the process exceeded a limit.
    """
    tables = {"version": version, "champion": champion, "project": project}
    paths = [path for path in tables.values() if path is not None]
    if max(map(count_photos, paths)) <= MAX_IMMEDIATE:
        return data_changes.compare(version, champion, project)
    request = {name: None if path is None else str(path.resolve()) for name, path in tables.items()}
    return _call({"task": "tables", **request}, [path.resolve() for path in paths], "tables of photos")


def count_photos(path: Path) -> int:
    """Number of photos of a file; 0 where it can't be read, which the comparison reports."""
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
    return _call({"task": "scores", "paths": [str(path) for path in paths], "threshold": threshold}, paths, "scores")


def _call(request: Mapping[str, Any], paths: Sequence[Path], subject: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        answer = confined_call.call(WORKER, request, paths, Path(folder), LIMITS, LARGEST_ANSWER)
    if answer.ended:
        raise SadclError(
            f"The {subject} can't be compared: the process that compares them {answer.ended}",
            fix="They may be damaged, or larger than this machine",
        )
    if answer.error or not isinstance(answer.value, dict):
        raise SadclError(
            f"The {subject} can't be compared: {answer.error or 'its process gave no answer'}",
            where=answer.where or None, fix=answer.fix,
        )  # fmt: skip
    return answer.value


def main() -> None:
    """Compare the files of a request, after those who read pages."""
    confined_call.serve(_compare, _yield_to_pages)


def _compare(task: str, **request: Any) -> dict[str, Any]:
    if task == "tables":
        version, champion, project = (
            request[name] and Path(request[name]) for name in ("version", "champion", "project")
        )
        return data_changes.compare(version, champion, project)
    paths = [*map(Path, request["paths"]), None]
    assert paths[0] is not None
    return compare(paths[0], paths[1], request["threshold"])


def _yield_to_pages() -> None:
    processes.end_with_parents()
    os.nice(PATIENCE)


if __name__ == "__main__":
    main()
