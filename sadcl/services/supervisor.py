"""Servers as processes: started, waited for, and ended with all that they started."""

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from sadcl.errors import SadclError
from sadcl.processes import child_environment

HOST = "127.0.0.1"
START_SECONDS = 90
STARTED_FOR = "SADCL_STARTED_FOR"
"""Environment of a server and of all below it: for whom. By this they are found again, whoever died meanwhile."""
Server = subprocess.Popen[bytes]


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def taken(port: int) -> bool:
    """Whether somebody listens on a port of loopback."""
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def start(command: Sequence[str], whom: str, variables: Mapping[str, str], log: Path | None = None) -> Server:
    """Start a server in a session of its own.

    Args:
        command: program and arguments.
        whom: for whom; ``end`` takes the same word.
        variables: of its environment.
        log: gets what it says, instead of our terminal.
    """
    environment = child_environment(**variables, **{STARTED_FOR: whom})
    if log is None:
        return subprocess.Popen(command, env=environment, start_new_session=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as file:
        return subprocess.Popen(
            command, env=environment, start_new_session=True, stdin=subprocess.DEVNULL, stdout=file, stderr=file
        )


def wait(server: Server, name: str, port: int, said: str = "Its lines above say why") -> None:
    """Wait until a server answers.

    Raises:
        SadclError: it ends by itself, or does not answer in time.
    """
    deadline = time.monotonic() + START_SECONDS
    while not _answers(port):
        if server.poll() is not None:
            raise SadclError(f"{name} ended by itself with status {server.returncode}", fix=said)
        if time.monotonic() > deadline:
            raise SadclError(f"{name} did not answer in {START_SECONDS} s", where=f"{HOST}:{port}", fix="Try again")
        time.sleep(0.2)


def end(whom: str, patience: float = 10.0) -> bool:
    """End every process that was started for somebody, whatever has become of its parent: asked first, then made to.

    One that somebody gave another environment is not found.

    Args:
        whom: as ``start`` was told.
        patience: seconds until they are made to, and then at most as long again.

    Returns:
        Whether there was any.
    """
    left = first = _started_for(whom)
    for sign in (signal.SIGTERM, signal.SIGKILL):
        deadline, told = time.monotonic() + patience, set[psutil.Process]()
        while left and time.monotonic() < deadline:
            for process in left - told:
                _signal(process, sign)
            told |= left
            time.sleep(0.1)
            left = _started_for(whom)  # some may have begun meanwhile
    return bool(first)


def _started_for(whom: str) -> set[psutil.Process]:
    """Of this user, and never this process itself; those that have ended already show no environment."""
    user, found = psutil.Process().uids().real, set()
    for process in psutil.process_iter(["uids", "environ"]):
        theirs = process.info["uids"] is not None and process.info["uids"].real == user
        if theirs and process.pid != os.getpid() and (process.info["environ"] or {}).get(STARTED_FOR) == whom:
            found.add(process)
    return found


def _signal(process: psutil.Process, sign: int) -> None:
    try:
        process.send_signal(sign)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return


def _answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://{HOST}:{port}/", timeout=2).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True
