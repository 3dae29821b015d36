"""Threads that read ahead; child processes that end with their parents, and the environment that they get.

``dvc`` killed by SIGTERM or SIGKILL leaves its stage running, and a killed flow leaves its ``dvc``. Therefore a stage
watches its ancestors (``end_with_parents``), and a command runs in a process group that is ended as a whole (``run``).
"""

import atexit
import ctypes
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Literal, TypeVar, cast, get_args

import psutil

from sadcl.errors import SadclError

T = TypeVar("T")
R = TypeVar("R")

SHELLS = {"sh", "bash", "dash", "zsh", "fish"}
LOGIN = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
"""Variables with the login of MLflow's client; children do not get them by default."""
PREFECT_LOGIN = "PREFECT_API_AUTH_STRING"
"""Variable with the login of Prefect's client."""
NOTIFY = "SADCL_NOTIFY"
"""Variable with the addresses of notifications, which contain passwords."""
OPTUNA_STORAGE = "SADCL_OPTUNA_STORAGE"
"""Variable with the address of the storage of studies, which may contain a password."""
ENGINE = "SADCL_ENGINE"
"""Variable with the name of the engine whose workers encode and score photos."""
EngineName = Literal["local", "ray"]
"""Worker processes of this machine, or a Ray cluster."""
STARTED_FOR = "SADCL_STARTED_FOR"
"""Variable of a server and its children: they are found by it even after their parent has died."""
OWNERS = "SADCL_OWNERS"
"""Variable with the `pid:start` of each process whose end ends a stage too, separated by commas."""


def before_torch() -> None:
    """Set variables and allocator options for training; call it before torch is imported, which reads them then.

    Waiting threads don't spin: otherwise a step takes up to five times as long if anything else runs on the machine.
    Large tensors use huge pages, and glibc keeps freed memory instead of requesting every page of each step again.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # no warnings about names of hosts
    if sys.platform == "linux":
        try:
            mallopt = ctypes.CDLL(None).mallopt
        except (OSError, AttributeError):
            return
        mallopt(-4, 0)  # M_MMAP_MAX: large blocks come from the heap, not from mmap
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: freed memory at the end of the heap is kept


def collect_rarely() -> None:
    """Let Python look for reference cycles less often: imports alone create a million objects, and all of them stay.

    At exit it does not look at all. There it would visit each of these objects once more, half a second after torch.
    """
    gc.set_threshold(20_000, 20, 50)
    atexit.register(gc.freeze)


def child_environment(*logins: str, **variables: str) -> dict[str, str]:
    """Environment of a child: that of this process without logins and addresses that may contain one.

    Args:
        logins: names of such variables that the child needs.
        variables: further variables of the child; they take precedence.
    """
    secret = {*LOGIN, PREFECT_LOGIN, NOTIFY, OPTUNA_STORAGE} - set(logins)
    return {name: value for name, value in os.environ.items() if name not in secret} | variables


def workers() -> int:
    """Number of worker threads: ``SADCL_WORKERS``, or the number of cores.

    Raises:
        SadclError: the variable holds no positive whole number.
    """
    return number("SADCL_WORKERS") or os.cpu_count() or 1


def number(variable: str, most: int = 9999) -> int | None:
    """Positive whole number in an environment variable; None where it is not set.

    Raises:
        SadclError: the variable holds something else, or more than ``most``.
    """
    text = os.environ.get(variable, "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and 0 < int(text[:9]) <= most):
        problem = f"{text!r} is no positive whole number up to {most}"
        raise SadclError(problem, where=variable, fix="Set it to one, or remove it")
    return int(text)


def seconds(variable: str, default: float) -> float:
    """Number of seconds in an environment variable, at least 0.

    Raises:
        SadclError: the variable holds something else.
    """
    text = os.environ.get(variable, "").strip()
    with suppress(ValueError):
        if 0 <= (value := float(text or default)) < float("inf"):
            return value
    raise SadclError(f"{text!r} is no number of seconds", where=variable, fix="Set it to one, or remove it")


def engine() -> EngineName | None:
    """The engine that ``SADCL_ENGINE`` names; None without one.

    Raises:
        SadclError: there is no such engine.
    """
    name = os.environ.get(ENGINE)
    if name and name not in get_args(EngineName):
        raise SadclError(f"There is no engine {name!r}", where=ENGINE, fix=f"Use {' or '.join(get_args(EngineName))}")
    return cast(EngineName, name) if name else None


def memory() -> int:
    """Bytes of memory that this process may take: the machine's, or the bound of its container."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(machine, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):  # no such file, or "max"
        return machine


def read_ahead(pool: ThreadPoolExecutor, read: Callable[[T], R], items: Iterable[T], most: int) -> Iterator[R]:
    """Read items in threads; results come in the order of the items.

    Args:
        pool: of threads.
        read: computes the result of an item.
        items: taken one by one.
        most: results that wait for their use, at most; more would fill the memory.
    """
    waiting: deque[Future[R]] = deque()
    for item in items:
        waiting.append(pool.submit(read, item))
        if len(waiting) > most:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def end_with_parents(every: float = 0.5) -> None:
    """End this process soon after its parent, or a process in the variable ``SADCL_OWNERS``, has ended.

    The exit is immediate and skips cleanup: writes are atomic, and a trainer's state is on the disk.

    Args:
        every: seconds between checks.
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
    """Run a command in its own process group; an interrupt of this process ends the whole group first.

    Args:
        command: program and arguments.
        cwd: working directory.
        env: variables in addition to those of this process.
        line: called with each line of output as it comes.
        owned: whether stages below the command end when this process ends, even by a kill.
        login: whether the command gets the login of the registry.

    Returns:
        Exit status, negative for a signal, and the output (stdout and stderr together).
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
    """Run git without the logins of the registry; it never raises.

    Args:
        root: folder to run it in.
        words: arguments.
        timeout: seconds until git is stopped; by default it may take any time.

    Returns:
        Exit status, stdout and stderr; the status is 127 if git is missing or takes longer than ``timeout``.
    """
    command = ["git", *words]
    try:
        return subprocess.run(
            command, cwd=root, env=child_environment(), capture_output=True, text=True, errors="replace", check=False,
            timeout=timeout,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 127, "", str(error))


def end_group(child: "subprocess.Popen[str]", patience: float = 10.0) -> None:
    """End a process group: SIGINT first, which DVC forwards to its stage, then SIGKILL.

    Args:
        child: leader of the group.
        patience: seconds to wait after each signal.
    """
    for signal_number, wait in ((signal.SIGINT, patience), (signal.SIGKILL, patience)):
        try:
            os.killpg(child.pid, signal_number)
        except ProcessLookupError:
            break
        try:
            child.wait(wait)
        except subprocess.TimeoutExpired:
            continue
        if not _group_exists(child.pid):
            return


def process_id(pid: int) -> str:
    """Identifier `pid:start` of a process, unique also where its pid is used again.

    On Linux it stays the same if the clock is set, and no process of another start of the host has it.

    Raises:
        psutil.NoSuchProcess: it has ended.
    """
    if sys.platform != "linux":
        return f"{pid}:{psutil.Process(pid).create_time():.2f}"
    try:
        # the name, in parentheses, may contain anything; the 20th field after it counts ticks since the host's start
        ticks = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        raise psutil.NoSuchProcess(pid) from None
    return f"{pid}:{ticks}@{boot_id()}"


def boot_id() -> str:
    """Identifier of the host's present run, from one start to the next; empty where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def is_alive(name: str) -> bool:
    """Whether the process with an identifier of ``process_id`` still runs."""
    owner = _process(name)
    return owner is not None and owner.status() != psutil.STATUS_ZOMBIE


def _group_exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _real_parent() -> psutil.Process | None:
    """The nearest ancestor that is not `sh -c`, through which DVC runs a stage's command."""
    parent = psutil.Process().parent()
    while parent is not None and parent.name() in SHELLS and "-c" in parent.cmdline():
        parent = parent.parent()
    return parent


def _owners() -> list[psutil.Process | None]:
    names = os.environ.get(OWNERS, "").split(",")
    owners = [_process(name) for name in names if name]
    if any(owner is None for owner in owners):  # it ended before this process could watch it
        os._exit(143)
    return list(owners)


def _process(name: str) -> psutil.Process | None:
    pid = int(name.partition(":")[0])
    try:
        return psutil.Process(pid) if process_id(pid) == name else None
    except psutil.NoSuchProcess:
        return None


def _quietly(watch: Callable[[], None]) -> Callable[[], None]:
    def guarded() -> None:
        try:
            watch()
        except psutil.NoSuchProcess:
            os._exit(143)

    return guarded
