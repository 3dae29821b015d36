"""Supervision of server processes: start, wait for a response, and end with all child processes."""

import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import psutil

from sadcl import files
from sadcl.errors import SadclError
from sadcl.processes import STARTED_FOR, child_environment

HOST = "127.0.0.1"
START_TIMEOUT = 90
SERVICE_VARIABLE = "SADCL_SERVICE"
"""Environment variable with the name of one server of an owner."""
LARGEST_LOG = 20_000_000
"""Bytes of a log above which its text moves to a second file, whose earlier text goes."""
Server = subprocess.Popen[bytes]


def free_port() -> int:
    """A free port on loopback."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def is_taken(port: int) -> bool:
    """Whether a process listens on a port of loopback."""
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def start(
    command: Sequence[str], owner: str, variables: Mapping[str, str], log: Path | None = None, service: str = ""
) -> Server:
    """Start a server in a session of its own.

    Args:
        command: program and arguments.
        owner: identifies the servers of one command; ``end`` takes the same value.
        variables: added to its environment.
        log: file to which its output is appended; by default the terminal.
        service: name of the server, with which ``end`` ends it alone.

    Raises:
        SadclError: the log can't be opened, since the disk is full.
    """
    # by environment, not by pid: children inherit it, and keep it when their parent dies
    environment = child_environment(**variables, **{STARTED_FOR: owner, SERVICE_VARIABLE: service})
    if log is None:
        return subprocess.Popen(command, env=environment, start_new_session=True)
    with files.translate_disk_errors(log, "the server was not started"):
        _append_start(log)
        with open(log, "ab") as file:
            return subprocess.Popen(
                command, env=environment, start_new_session=True, stdin=subprocess.DEVNULL, stdout=file, stderr=file
            )


def wait(server: Server, name: str, port: int, hint: str = "See its output above") -> None:
    """Wait until a server answers HTTP requests.

    Raises:
        SadclError: the server exits, or does not answer in time.
    """
    deadline = time.monotonic() + START_TIMEOUT
    while not _answers(port):
        if server.poll() is not None:
            raise SadclError(f"{name} exited with status {server.returncode}", fix=hint)
        if time.monotonic() > deadline:
            raise SadclError(f"{name} did not answer in {START_TIMEOUT} s", where=f"{HOST}:{port}", fix="Try again")
        time.sleep(0.2)


def end(owner: str, timeout: float = 10.0, service: str | None = None) -> bool:
    """End all processes of an owner, also those without a parent: SIGTERM first, SIGKILL after the timeout.

    A process that replaced its environment is not found.

    Args:
        owner: the value that ``start`` took.
        timeout: seconds to wait after each of the two signals.
        service: name of one server; by default all of them.

    Returns:
        Whether there were any processes.
    """
    remaining = initial = _processes_of(owner, service)
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        deadline, signalled = time.monotonic() + timeout, set[psutil.Process]()
        while remaining and time.monotonic() < deadline:
            for process in remaining - signalled:
                _signal(process, signal_number)
            signalled |= remaining
            time.sleep(0.1)
            remaining = _processes_of(owner, service)  # children may have started in the meantime
    return bool(initial)


def bound_log(log: Path) -> None:
    """Move the text of a log above ``LARGEST_LOG`` to ``NAME.log.1``, also while a server appends to it.

    The file stays, because the server and its children hold it open; they write on at its beginning.
    """
    rotated = log.with_name(f"{log.name}.1")
    # on a full disk it grows no further either, and the servers matter more
    with suppress(OSError, SadclError):
        if log.stat().st_size <= LARGEST_LOG:
            return
        with open(log, "rb") as text:
            with files.atomic_write(rotated) as temporary, temporary.open("wb") as copy:
                shutil.copyfileobj(text, copy)
            with rotated.open("ab") as copy:  # what was written meanwhile
                shutil.copyfileobj(text, copy)
        os.truncate(log, 0)


def _append_start(log: Path) -> None:
    """Append a line to a log that says when a server started; on a full disk it is missing."""
    log.parent.mkdir(parents=True, exist_ok=True)
    bound_log(log)
    with suppress(OSError), open(log, "a", encoding="utf-8") as file:
        file.write(f"--- started at {datetime.now(UTC).isoformat(timespec='seconds')}\n")


def _processes_of(owner: str, service: str | None) -> set[psutil.Process]:
    """Processes of an owner that belong to this user, without this process; zombies have no environment."""
    user, processes = psutil.Process().uids().real, set()
    for process in psutil.process_iter(["uids", "environ"]):
        own_process = process.info["uids"] is not None and process.info["uids"].real == user
        variables = process.info["environ"] or {}
        wanted = service in (None, variables.get(SERVICE_VARIABLE)) and variables.get(STARTED_FOR) == owner
        if own_process and process.pid != os.getpid() and wanted:
            processes.add(process)
    return processes


def _signal(process: psutil.Process, signal_number: int) -> None:
    try:
        # psutil compares the start time first: a pid that was used again gets no signal
        process.send_signal(signal_number)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return


def _answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://{HOST}:{port}/", timeout=2).close()
    # a refusal is an answer too: most pages want a log-in
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True
