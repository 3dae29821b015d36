"""Children that never outlive those who wanted them.

``dvc`` killed by SIGTERM or SIGKILL leaves its stage running, and a killed flow leaves its ``dvc``.
So each stage watches everybody who wanted it (``end_with_parents``), and whoever starts a command
gives it a process group of its own and ends the whole group (``run``).
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

SHELLS = {"sh", "bash", "dash", "zsh", "fish"}
LOGIN = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
"""Environment: in whose name MLflow's client asks; for this process alone."""
PREFECT_LOGIN = "PREFECT_API_AUTH_STRING"
"""Environment: what Prefect's client says to a server that asks for a log-in."""
OWNERS = "SADCL_OWNERS"
"""Environment: `pid:start` of each process whose end must end a stage too, separated by commas."""


def before_torch() -> None:
    """Set this process up for training; torch reads its environment when it is loaded.

    Waiting threads don't spin: a step takes up to five times as long otherwise, wherever anything else runs. Large
    tensors lie in huge pages, and with glibc what they give back is kept, instead of asking the kernel for every page
    of each step anew.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    if sys.platform == "linux":
        try:
            mallopt = ctypes.CDLL(None).mallopt
        except (OSError, AttributeError):
            return
        mallopt(-4, 0)  # M_MMAP_MAX: nothing is mapped on its own
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: the end of the heap stays


def child_environment(*kept: str, **variables: str) -> dict[str, str]:
    """The environment of a child: ours without the log-ins with which we ask the registry and Prefect's server.

    Args:
        kept: log-ins that the child needs all the same.
        variables: set in the child, whatever ours has.
    """
    secret = {*LOGIN, PREFECT_LOGIN} - set(kept)
    return {name: value for name, value in os.environ.items() if name not in secret} | variables


def workers() -> int:
    """How many threads may work at a time: ``SADCL_WORKERS``, or the number of cores."""
    return int(os.environ.get("SADCL_WORKERS", 0)) or os.cpu_count() or 1


def end_with_parents(every: float = 0.5) -> None:
    """End this process soon after its parent, or one of the owners named in the environment, has gone.

    Sudden by design: files appear whole or not at all, and a trainer's state is on the disk.
    """
    watched = [owner for owner in [_real_parent(), *_owners()] if owner is not None]

    def watch() -> None:
        while all(owner.is_running() and owner.status() != psutil.STATUS_ZOMBIE for owner in watched):
            time.sleep(every)
        os._exit(143)

    threading.Thread(target=_quietly(watch), name="end-with-parents", daemon=True).start()


def run(
    command: Sequence[str],
    *,
    cwd: str | Path | None = None,
    env: Mapping[str, str] | None = None,
    line: Callable[[str], None] | None = None,
    owned: bool = True,
    login: bool = False,
) -> tuple[int, str]:
    """Run a command in a group of its own; when we are interrupted the whole group ends first.

    Args:
        command: program and arguments.
        cwd: where to run it.
        env: variables beside those of this process.
        line: called with each line of output as it comes.
        owned: stages below end when this process has gone, however it went.
        login: the command asks the registry, in our name.

    Returns:
        Exit status, and everything it printed (stdout and stderr together).
    """
    environment = child_environment(*(LOGIN if login else ()), **(env or {}))
    if owned:
        environment[OWNERS] = ",".join(filter(None, [os.environ.get(OWNERS), process_id(os.getpid())]))
    child = subprocess.Popen(
        list(command), cwd=cwd, env=environment, text=True, errors="replace", start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    printed: list[str] = []
    assert child.stdout is not None
    with child.stdout:
        try:
            for text in child.stdout:
                printed.append(text)
                if line is not None:
                    line(text.rstrip("\n"))
            return child.wait(), "".join(printed)
        except BaseException:
            end_group(child)
            raise


def git(root: Path, *words: str, timeout: float | None = None) -> "subprocess.CompletedProcess[str]":
    """Run git in a folder, without our log-ins; where git is missing or takes too long, the status is 127."""
    command = ["git", *words]
    try:
        return subprocess.run(
            command, cwd=root, env=child_environment(), capture_output=True, text=True, check=False, timeout=timeout
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 127, "", str(error))


def end_group(child: "subprocess.Popen[str]", patience: float = 10.0) -> None:
    """End a process and everything below it: asked first (SIGINT, which DVC hands on), then made to."""
    for sign, wait in ((signal.SIGINT, patience), (signal.SIGKILL, patience)):
        try:
            os.killpg(child.pid, sign)
        except ProcessLookupError:
            break
        try:
            child.wait(wait)
        except subprocess.TimeoutExpired:
            continue
        if not _group_lives(child.pid):
            return


def process_id(pid: int) -> str:
    """`pid:start`, which stays unique when the pid is used again."""
    return f"{pid}:{psutil.Process(pid).create_time():.2f}"


def is_alive(name: str) -> bool:
    """Whether the process that ``process_id`` named still runs."""
    owner = _process(name)
    return owner is not None and owner.status() != psutil.STATUS_ZOMBIE


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _real_parent() -> psutil.Process | None:
    """The nearest ancestor that is no `sh -c`: DVC runs a stage's command through one."""
    parent = psutil.Process().parent()
    while parent is not None and parent.name() in SHELLS and "-c" in parent.cmdline():
        parent = parent.parent()
    return parent


def _owners() -> list[psutil.Process | None]:
    names = os.environ.get(OWNERS, "").split(",")
    owners = [_process(name) for name in names if name]
    if any(owner is None for owner in owners):
        os._exit(143)
    return list(owners)


def _process(name: str) -> psutil.Process | None:
    pid, start = name.split(":")
    try:
        process = psutil.Process(int(pid))
        return process if abs(process.create_time() - float(start)) < 0.05 else None
    except psutil.NoSuchProcess:
        return None


def _quietly(watch: Callable[[], None]) -> Callable[[], None]:
    def guarded() -> None:
        try:
            watch()
        except psutil.NoSuchProcess:
            os._exit(143)

    return guarded
