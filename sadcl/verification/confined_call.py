"""Calls of a function in a confined process: a request goes in as JSON, an answer and files come out of its folder."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from sadcl import files
from sadcl.errors import SadclError, first_line
from sadcl.progress import printable
from sadcl.verification import confinement

Report = Callable[[str], None]
"""Receives a line about the progress, with the time left."""
ANSWER = "answer.json"
"""File that the process writes into its working folder."""
LONGEST_LINE = 1000
"""Characters of a line about the progress."""
NO_MEMORY = ("allocate memory", "out of memory", "bad_alloc", "start new thread", "map segment")
"""Words in errors of torch, onnxruntime, threads and the dynamic loader, which raise no ``MemoryError``."""


@dataclass(frozen=True)
class Answer:
    """Result of a call.

    Attributes:
        value: returned by the function; None where it failed.
        error, where, fix: of its error, escaped for printing; empty without one.
        ended: how the process ended without a result, for a reason that may pass, as the rest of a sentence; empty
            where there is a result.
    """

    value: Any = None
    error: str = ""
    where: str = ""
    fix: str = ""
    ended: str = ""


def call(
    module: str,
    request: Mapping[str, Any],
    readable: Sequence[Path],
    folder: Path,
    limits: confinement.Limits,
    largest: int,
    report: Report | None = None,
) -> Answer:
    """Call ``serve`` in a process of its own.

    Args:
        module: to run, which calls ``serve``.
        request: arguments of its function.
        readable: files and folders that it reads.
        folder: its working folder, the only one that it may write.
        limits: bounds of the process.
        largest: bytes that its answer may have.
        report: receives the lines that it prints; None shows its progress bar on a terminal.
    """
    text = json.dumps({**request, "limits": asdict(limits)})
    with subprocess.Popen(
        confinement.command(["-m", module], readable, folder),
        text=True, errors="replace", cwd=folder, env=confinement.environment(folder), stdin=subprocess.PIPE,
        stdout=subprocess.PIPE if report else subprocess.DEVNULL,
        stderr=None if report is None and sys.stderr.isatty() else subprocess.DEVNULL,
    ) as process:  # fmt: skip
        reader = _forward(process.stdout, report)
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # it ended already; its status says why
            process.stdin.write(text)
            process.stdin.close()
        process.wait()
        if reader is not None:
            reader.join()
    return _read(folder / ANSWER, process.returncode, largest)


def serve(function: Callable[..., Any], prepare: Callable[[], None] = lambda: None) -> None:
    """Read a request from standard input, confine this process, and write the answer of a function.

    Args:
        function: called with the request's fields; its value becomes JSON.
        prepare: called after the process is confined.
    """
    request = json.loads(sys.stdin.read())
    confinement.confine(confinement.Limits(**request.pop("limits")))
    prepare()
    try:
        answer = {"value": function(**request)}
    except Exception as error:  # any: the files are not trusted to fail in a known way
        answer = _failure(error)
    files.write_json(Path(ANSWER), answer)


def may_pass(error: BaseException | None) -> bool:
    """Whether an error, or one behind it, comes from a full disk or a lack of memory, not from the files."""
    if error is None:
        return False
    if isinstance(error, MemoryError) or files.is_disk_full(error) or _says_no_memory(error):
        return True
    return may_pass(error.__cause__ or error.__context__)


def _says_no_memory(error: BaseException) -> bool:
    """Whether a library reports a lack of memory in words.

    Other errors, such as those about a key or a file, repeat names that the author of a model has chosen.
    """
    is_native = isinstance(error, RuntimeError | ImportError | OSError) or type(error).__module__.startswith("onnx")
    text = str(error)
    return is_native and "state_dict" not in text and any(words in text for words in NO_MEMORY)


def _failure(error: Exception) -> dict[str, str]:
    if may_pass(error):
        return {"ended": f"lacked memory or room on the disk ({first_line(error)})"}
    if isinstance(error, SadclError):
        return {"error": error.what, "where": "" if error.where is None else str(error.where), "fix": error.fix}
    return {"error": f"{type(error).__name__}: {error}"[:500]}


def _forward(output: IO[str] | None, report: Report | None) -> threading.Thread | None:
    """Pass each line of a process's output on, in a thread."""
    if output is None or report is None:
        return None

    def read() -> None:
        while line := output.readline(LONGEST_LINE):
            if line.strip():
                report(printable(line.strip()))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    return reader


def _read(path: Path, status: int, largest: int) -> Answer:
    """The answer of a process; one that failed without any broke a limit or was killed."""
    is_readable = not path.is_symlink() and path.is_file() and path.stat().st_size <= largest
    if not is_readable and status:
        return Answer(ended=f"was ended by signal {-status}" if status < 0 else f"ended with status {status}")
    answer = None
    if is_readable:
        with suppress(SadclError):
            answer = files.read_json(path)
    if not isinstance(answer, dict):  # a process that was taken over
        return Answer(error="its process gave no answer")
    error, where, fix, ended = (printable(str(answer.get(name) or "")) for name in ("error", "where", "fix", "ended"))
    return Answer(answer.get("value"), error, where, fix, ended)
