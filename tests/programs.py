"""Programs that start without importing anything again: forks of one process that has imported it.

A program that imports torch, timm and Fabric takes five seconds to start, a fork of such a process some milliseconds.
Each is a process of its own all the same, with its own working directory, environment and exit status, and can be
killed.
"""

import atexit
import gc
import json
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from tests.paths import REPOSITORY

TRAINING = "from sadcl.model.timm_import import import_timm; import_timm(); import sadcl.training.fit"
"""Imports of a program that trains."""
MLFLOW = "import warnings; warnings.simplefilter('ignore'); import mlflow.server"
"""Imports of a program that belongs to the registry's server."""


class Program:
    """A running program; its methods are those of ``subprocess.Popen``.

    Attributes:
        pid: of its process.
        returncode: its exit status, negative if a signal ended it; None while it runs.
    """

    def __init__(self, server: "ForkServer", pid: int, output: Path) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._server, self._output = server, output

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._server.request(wait=self.pid)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def communicate(self, timeout: float = 300) -> tuple[str, None]:
        """Wait for the program's end, and return all that it has printed to both streams."""
        deadline = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > deadline:
                self.send_signal(signal.SIGKILL)
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(0.01)
        return self._output.read_text(errors="replace"), None


class ForkServer:
    """A process that has imported modules and forks programs.

    Args:
        folder: for what the programs print.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.count = folder, 0
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.programs"], cwd=REPOSITORY, env={**os.environ, "OMP_NUM_THREADS": "1"},
            text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def start(
        self, *words: str, imports: str = "", cwd: Path | None = None, env: Mapping[str, str] = os.environ
    ) -> Program:
        """Start a program.

        Args:
            words: arguments of ``python``: ``-m`` and a module, ``-c`` and code, or a file, and the program's own.
            imports: code that the server runs first, and once; what it imports must not read the environment then.
            cwd: working directory, by default that of this process.
            env: environment.
        """
        self.count += 1
        output = self.folder / f"{self.count}.txt"
        pid = self.request(words=words, imports=imports, cwd=str(cwd or Path.cwd()), env=dict(env), output=str(output))
        assert pid is not None
        return Program(self, pid, output)

    def request(self, **message: object) -> int | None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()
        answer: int | None = json.loads(self.process.stdout.readline())
        return answer

    def stop(self) -> None:
        self.process.communicate()


def _serve() -> None:
    """Answer requests until the client closes the pipe."""
    done: set[str] = set()
    for line in sys.stdin:
        message = json.loads(line)
        if "wait" in message:
            pid, status = os.waitpid(message["wait"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        else:
            if message["imports"] not in done:
                exec(message["imports"], {})
                done.add(message["imports"])
            assert threading.active_count() == 1, "a fork would lack the other threads"
            gc.freeze()  # a collection in a fork would copy all of the server's memory
            answer = os.fork()
            if answer == 0:
                _become(message)
        print(json.dumps(answer), flush=True)


def _become(message: dict[str, Any]) -> NoReturn:
    """Turn this fork into a program, and exit with its status."""
    output = os.open(message["output"], os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_APPEND)
    for number, source in enumerate((os.open(os.devnull, os.O_RDONLY), output, output)):
        os.dup2(source, number)
    os.closerange(3, 64)
    os.chdir(message["cwd"])
    os.environ.clear()
    os.environ.update(message["env"])
    sys.path.insert(0, message["cwd"])
    status: object = 0
    try:
        _run(message["words"])
    except SystemExit as error:
        status = error.code
    except BaseException:
        status = 1
        traceback.print_exc()
    if isinstance(status, str):
        print(status, file=sys.stderr)
        status = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(int(status or 0))  # the usual end would touch all of the server's memory once more


def _run(words: list[str]) -> None:
    """Run what ``python`` with these arguments runs."""
    if words[0] == "-m":
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    elif words[0] == "-c":
        sys.argv = ["-c", *words[2:]]
        exec(compile(words[1], "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")


if __name__ == "__main__":
    _serve()
    os._exit(0)
