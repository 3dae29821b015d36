"""``dvc`` as a person would type it, and its refusals as sentences."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sadcl import extras, processes
from sadcl.errors import SadclError

MENDABLE = 2
"""Exit status of a stage that stopped for a reason that a person must mend: trying again gives the same."""

_BUSY = re.compile(r"'([^']+)' is busy, it is being blocked by:\s+\(PID (\d+)\): (.*)")
_RAN = re.compile(r"^(Running stage '|Stage '.*' is cached)", re.MULTILINE)
_FAILED = re.compile(r"^ERROR: failed to reproduce '([^']+)': (.*)", re.MULTILINE)
_EXITED = re.compile(r"failed to run: .*, exited with (-?\d+)$")
_NOISE = re.compile(
    r"\s*$|> |(Generating|Updating) lock file|To track the changes|To enable auto staging|\s+git add |\s+dvc config |"
    r"Use `dvc push`|Stage '.*' didn't change|Data and pipelines are up to date"
)


@dataclass(frozen=True)
class Outcome:
    """What ``reproduce`` did: whether any stage ran (or came back from the cache), and what was printed."""

    ran: bool
    output: str

    @property
    def last_line(self) -> str:
        """The last thing that was said."""
        return next((line for line in reversed(self.output.splitlines()) if line.strip()), "")


class StageError(SadclError):
    """A stage stopped; the words are its own.

    Attributes:
        stage: its name.
        status: its exit status, negative for a signal; None where DVC did not get that far.
    """

    def __init__(self, stage: str, status: int | None, what: str) -> None:
        super().__init__(what.rstrip(". "))
        self.stage, self.status = stage, status

    @property
    def retry_may_help(self) -> bool:
        """Whether another attempt could end otherwise."""
        return self.status is not None and self.status != MENDABLE


def reproduce(
    target: str | None = None,
    *,
    single: bool = False,
    root: Path = Path("."),
    line: Callable[[str], None] | None = None,
) -> Outcome:
    """``dvc repro``, in a process group of its own that ends with us.

    Args:
        target: a stage, with all it needs; without one, everything.
        single: the stage alone.
        root: the project's folder.
        line: told each line of output as it comes, without DVC's advice.

    Raises:
        StageError: a stage stopped; the sentence is the stage's own last one.
        SadclError: DVC is busy, was killed, or can't read the project.
    """
    arguments = ["repro", *(["--single-item"] if single else []), *([target] if target else [])]

    def shown(text: str) -> None:
        if line is not None and not _NOISE.match(text):
            line(text)

    status, printed = processes.run(_command(*arguments), cwd=root, env=environment(), line=shown)
    if status != 0:
        raise _failure(printed, status, root)
    kept = "\n".join(text for text in printed.splitlines() if not _NOISE.match(text))
    return Outcome(bool(_RAN.search(printed)), kept)


def add(path: str | Path) -> None:
    """Track a file or folder with DVC; doing it again takes in what changed.

    Raises:
        SadclError: it is not there, or DVC is busy.
    """
    target = Path(path)
    if not target.exists():
        raise SadclError("There is nothing to track", where=path, fix="Check the name")
    dvc("add", target.name, root=target.parent)


def push(root: Path = Path(".")) -> None:
    """Send what the remote does not have yet.

    Raises:
        SadclError: there is no remote, or it can't be reached.
    """
    dvc("push", root=root)


def pull(root: Path = Path(".")) -> None:
    """Fetch what ``dvc.lock`` and the ``.dvc`` files name; what no remote has is left out.

    Raises:
        SadclError: the remote can't be reached.
    """
    dvc("pull", "--allow-missing", root=root)


def checkout(root: Path = Path(".")) -> None:
    """Bring the files here that ``dvc.lock`` and the ``.dvc`` files name, as far as the cache has them."""
    dvc("checkout", "--allow-missing", "--force", root=root)


def collect_garbage(root: Path = Path(".")) -> None:
    """Free what the cache holds for no file here and no commit.

    Raises:
        SadclError: DVC is busy.
    """
    dvc("gc", "--force", "--workspace", "--all-commits", root=root)


def dvc(*arguments: str, root: Path) -> str:
    """A short DVC command: what it printed.

    Raises:
        SadclError: it failed; DVC's reason in one sentence.
    """
    asked = subprocess.run(
        _command(*arguments),
        cwd=root,
        env=processes.child_environment(**environment()),
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode != 0:
        raise _failure(asked.stdout + asked.stderr, asked.returncode, root)
    return asked.stdout


def _command(*arguments: str) -> list[str]:
    extras.require("dvc")
    return [sys.executable, "-m", "dvc", *arguments]


def environment() -> dict[str, str]:
    """Stages say ``python``: it must be the one that runs us. Unbuffered, so that a stage's last line comes last."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {"DVC_NO_ANALYTICS": "1", "PYTHONUNBUFFERED": "1", "PATH": path}


def _failure(printed: str, status: int, root: Path) -> SadclError:
    busy = _BUSY.search(printed)
    if busy is not None:
        path, pid, command = busy.groups()
        command = re.sub(r"^\S*/dvc(/__main__\.py)?(?= )", "dvc", command)
        return SadclError(
            f"DVC is busy: process {pid} ({command}) is at work on it",
            where=os.path.relpath(path, root.resolve()),
            fix="Wait for it, or end it, and run this again",
        )
    failed = _FAILED.search(printed)
    if failed is not None:
        return _stage_failure(failed.group(1), failed.group(2), printed[: failed.start()])
    if status < 0:
        return SadclError(f"DVC was ended by signal {-status}", where=root, fix="Run it again; it goes on where it was")
    errors = [text.removeprefix("ERROR: ") for text in printed.splitlines() if text.startswith("ERROR: ")]
    last = errors[:1] or [text for text in printed.splitlines() if text.strip()][-1:] or [f"exit status {status}"]
    return SadclError(f"DVC stopped: {last[0].rstrip('.')}", where=root)


def _stage_failure(stage: str, reason: str, printed: str) -> StageError:
    exited = _EXITED.search(reason)
    if exited is None:
        return StageError(stage, None, f"{stage}: {reason}")
    status = int(exited.group(1))
    said = _last_words(printed.splitlines())
    if status < 0 or not said:
        return StageError(stage, status, f"{stage}: it ended with status {status} and said: {said or 'nothing'}")
    return StageError(stage, status, said)


def _last_words(lines: Sequence[str]) -> str:
    """The last line that a stage printed, after the command that DVC shows for it."""
    start = max((i for i, text in enumerate(lines) if text.startswith("> ")), default=-1)
    return next((text.strip() for text in reversed(lines[start + 1 :]) if text.strip()), "")
