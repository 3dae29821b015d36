"""Records of flow runs under way, so that a run whose process is gone can be told from a slow one.

A run holds a lock on its record. The kernel frees it at any end of the process, a power cut included. A record gets its
name when it is whole and locked, so that one without a lock belongs to no run that only begins.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from sadcl import files, layout, processes

MAX_BYTES = 10_000
"""Bytes of a record that are read."""


class Record(BaseModel):
    """A run under way.

    Attributes:
        run: identifier of the run in Prefect.
        process: identifier of the process that executes it; empty where the record is damaged.
        started: time of its start, in UTC.
    """

    model_config = ConfigDict(frozen=True)

    run: str
    process: str
    started: str

    @property
    def cause(self) -> str:
        """Sentence about the end of the run's process."""
        if not self.process:
            return "The run's process is gone, and its record is damaged, as a power cut may leave it"
        pid, _, start = self.process.partition(":")
        began = f"process {pid}, which began at {self.started}"
        if start.partition("@")[2] != processes.boot_id():
            return f"The host was restarted while the run was under way ({began})"
        return f"The run's process was killed or crashed ({began})"


@contextmanager
def recorded(root: Path, run: str) -> Iterator[None]:
    """Keep a record of a run while this process executes it.

    Args:
        root: the project's folder.
        run: identifier of the run in Prefect.

    Raises:
        SadclError: the path is refused, or the disk is full.
    """
    path = root / layout.RUNS_UNDER_WAY / f"{run}.json"
    started = datetime.now(UTC).isoformat(timespec="seconds")
    record = Record(run=run, process=processes.process_id(os.getpid()), started=started)
    with ExitStack() as stack:
        with files.translate_disk_errors(path):
            stack.enter_context(_locked(path, record))
        yield


def lost(root: Path) -> list[Record]:
    """Records of runs whose process is gone; each stays until ``forget``."""
    return [record for path in _paths(root) if (record := _read_lost(path)) is not None]


def under_way(root: Path) -> set[str]:
    """Identifiers of runs that a process of this host executes."""
    return {path.stem for path in _paths(root) if _read_lost(path) is None}


def forget(root: Path, run: str) -> None:
    """Remove the record of a run."""
    (root / layout.RUNS_UNDER_WAY / f"{run}.json").unlink(missing_ok=True)


@contextmanager
def _locked(path: Path, record: Record) -> Iterator[None]:
    """Hold the lock of a record's file, which is removed at the end; the file has its name when it is whole."""
    files.require_folder(path.parent)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    with files.open_locked(temporary) as stream:
        try:
            stream.truncate(0)
            # without a buffer, which would be flushed to the full disk again when the file is closed
            os.write(stream.fileno(), record.model_dump_json().encode())
            os.fsync(stream.fileno())
            temporary.replace(path)
            yield
        finally:
            temporary.unlink(missing_ok=True)
            path.unlink(missing_ok=True)


def _paths(root: Path) -> list[Path]:
    return sorted((root / layout.RUNS_UNDER_WAY).glob("*.json"))


def _read_lost(path: Path) -> Record | None:
    """Record of a run that no process executes; None if one does, or the record went with its run."""
    try:
        with open(path, "r+b") as stream:  # never creates a record
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                record = Record.model_validate_json(stream.read(MAX_BYTES))
                # a lock tells nothing on a disk without locks: the process decides as well
                return None if record.process and processes.is_alive(record.process) else record
            except ValueError:
                return Record(run=path.stem, process="", started="")
    except OSError:  # locked, or gone
        return None
