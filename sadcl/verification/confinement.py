"""Confinement of a child process that opens files of a registered version, whose author is not trusted.

The child works in an empty folder, without log-ins in its environment, and with bounds on memory, time, file size and
open files. Where the system allows it has no network; with bubblewrap it also sees no files but those that it needs.
"""

import ctypes
import functools
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import sadcl
from sadcl import processes

BUBBLEWRAP = "bwrap"
SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/etc/ld.so.cache", "/etc/alternatives")
"""Folders and files of the system that Python and its libraries read."""
PASSED = (
    "LANG", "LC_ALL", "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "SADCL_WORKERS", "COLUMNS", "TERM", processes.STARTED_FOR,
)  # fmt: skip
"""Variables that a confined process inherits; all others may hold secrets. By the last one `sadcl down` finds it."""
GIB = 2**30
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38


@dataclass(frozen=True)
class Limits:
    """Bounds of a confined process.

    Attributes:
        memory: address space in bytes.
        seconds: CPU time.
        file: largest file that it may write, in bytes.
        open_files: files open at once.
    """

    memory: int = 24 * GIB
    seconds: int = 24 * 3600
    file: int = 4 * GIB
    open_files: int = 512


def environment(folder: Path) -> dict[str, str]:
    """Variables of a confined process, whose home is its working folder."""
    inherited = {name: os.environ[name] for name in PASSED if name in os.environ}
    path = os.pathsep.join([str(Path(sadcl.__file__).parent.parent), *filter(None, sys.path)])
    # no GPU: its driver needs more address space than any bound that protects, and devices that are not visible
    own = {"PATH": os.defpath, "HOME": str(folder), "TMPDIR": str(folder), "CUDA_VISIBLE_DEVICES": ""}
    return {**inherited, **own, "PYTHONPATH": path}


def command(words: Sequence[str], readable: Sequence[Path], folder: Path) -> list[str]:
    """Command line of a program of this Python: with bubblewrap, where ``sees_only_its_files``, else without.

    Args:
        words: arguments of ``python``.
        readable: files and folders that the program reads.
        folder: its working folder, the only one that it may write.
    """
    program = [sys.executable, *words]
    if not sees_only_its_files():
        return program
    package = Path(sadcl.__file__).parent
    visible = [Path(path) for path in SYSTEM] + [Path(sys.prefix), Path(sys.base_prefix), package, *readable]
    binds = [part for path in visible if path.exists() for part in ("--ro-bind", str(path), str(path))]
    return [
        BUBBLEWRAP, "--die-with-parent", "--new-session", "--unshare-all", "--tmpfs", "/tmp", *binds,
        "--proc", "/proc", "--dev", "/dev", "--bind", str(folder), str(folder), "--chdir", str(folder), *program,
    ]  # fmt: skip


def confine(limits: Limits) -> bool:
    """Bound this process for the rest of its life; call it before it starts a thread or opens an untrusted file.

    Returns:
        Whether the process has no network; with bubblewrap it had none before.
    """
    bounds = {
        resource.RLIMIT_AS: limits.memory, resource.RLIMIT_CPU: limits.seconds, resource.RLIMIT_FSIZE: limits.file,
        resource.RLIMIT_NOFILE: limits.open_files, resource.RLIMIT_CORE: 0,
    }  # fmt: skip
    for kind, most in bounds.items():
        hard = resource.getrlimit(kind)[1]
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (bound, bound))
    return _leave_network()


def _leave_network() -> bool:
    """Move this process into a network namespace without interfaces; False where the system does not allow it."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # nobody would read its answer
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        # the first needs no namespace of users, but rights that only root has
        return bool(libc.unshare(CLONE_NEWNET) == 0 or libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0)
    except (OSError, AttributeError):  # not Linux
        return False


@functools.cache
def sees_only_its_files() -> bool:
    """Whether bubblewrap is installed and may create namespaces, which some systems forbid."""
    if shutil.which(BUBBLEWRAP) is None:
        return False
    attempt = [BUBBLEWRAP, "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "true"]
    return subprocess.run(attempt, capture_output=True, check=False).returncode == 0
