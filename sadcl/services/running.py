"""Servers as processes: started in a group of their own, waited for, and ended with all that they started."""

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
from sadcl.processes import surroundings

HOST = "127.0.0.1"
START_SECONDS = 90
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


def start(command: Sequence[str], variables: Mapping[str, str], log: Path | None = None) -> Server:
    """Start a server in a session of its own; what it says goes to ``log``, or to our terminal."""
    environment = surroundings(**variables)
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


def stop(server: Server, patience: float = 10.0) -> None:
    """End a server and everything it started."""
    end([server.pid], patience)
    server.wait()


def end(pids: Sequence[int], patience: float = 10.0) -> None:
    """End processes, their groups and everything below them, all at a time: asked first, then made to.

    Args:
        pids: leaders of their groups; one that is gone already is no harm.
        patience: seconds until they are made to.
    """
    below = _below(pids)
    for pid in pids:
        _signal_group(pid, signal.SIGTERM)
    for process in psutil.wait_procs(below, patience)[1]:
        _signal(process, signal.SIGKILL)
    for pid in pids:
        _signal_group(pid, signal.SIGKILL)  # what joined the group meanwhile
    psutil.wait_procs(below, patience)


def _below(pids: Sequence[int]) -> list[psutil.Process]:
    found: dict[int, psutil.Process] = {}
    for pid in pids:
        try:
            leader = psutil.Process(pid)
            found |= {process.pid: process for process in (leader, *leader.children(recursive=True))}
        except psutil.NoSuchProcess:
            continue
    return list(found.values())


def _signal_group(pid: int, sign: int) -> None:
    try:
        os.killpg(pid, sign)
    except (ProcessLookupError, PermissionError):  # a zombie's group refuses on some systems
        return


def _signal(process: psutil.Process, sign: int) -> None:
    try:
        process.send_signal(sign)
    except psutil.NoSuchProcess:
        return


def _answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://{HOST}:{port}/", timeout=2).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True
