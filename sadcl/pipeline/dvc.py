"""The command ``dvc`` in a subprocess, with its failures as ``SadclError``."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sadcl import extras, params, processes
from sadcl.errors import SadclError
from sadcl.pipeline import repository

USER_ERROR = 2
"""Exit status of a stage that a person has to fix: another attempt fails the same way."""

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
    """Result of ``reproduce``.

    Attributes:
        ran: whether any stage ran, or was restored from the cache.
        output: what DVC and the stages printed, without DVC's advice.
    """

    ran: bool
    output: str

    @property
    def last_line(self) -> str:
        """The last line of the output that is not blank; empty if there is none."""
        return next((line for line in reversed(self.output.splitlines()) if line.strip()), "")


class StageError(SadclError):
    """A stage failed; the message is the stage's own.

    Attributes:
        stage: name of the stage.
        status: exit status, negative for a signal; None if DVC failed before or after the stage's command.
    """

    def __init__(self, stage: str, status: int | None, message: str) -> None:
        super().__init__(message.rstrip(". "))
        self.stage, self.status = stage, status

    @property
    def retry_may_help(self) -> bool:
        """Whether another attempt could succeed."""
        return self.status is not None and self.status != USER_ERROR


def reproduce(
    target: str | None = None,
    *,
    single: bool = False,
    root: Path = Path("."),
    line: Callable[[str], None] | None = None,
) -> Outcome:
    """Run ``dvc repro`` in a process group that ends with this process.

    Args:
        target: a stage, which runs after its dependencies; by default all stages.
        single: whether to run the stage without its dependencies.
        root: the project's folder.
        line: called with each line of output as it comes, without DVC's advice.

    Raises:
        StageError: a stage failed; the message is the last line that it printed.
        SadclError: DVC is busy, was killed, or can't read the project.
    """
    arguments = ["repro", *(["--single-item"] if single else []), *([target] if target else [])]

    def forward(text: str) -> None:
        if line is not None and not _NOISE.match(text):
            line(text)

    # in a group of its own: dvc that is killed alone leaves its stage running
    status, printed = processes.run(_command(*arguments), cwd=root, env=environment(), line=forward)
    if status != 0:
        raise _failure(printed, status, root)
    output = "\n".join(text for text in printed.splitlines() if not _NOISE.match(text))
    return Outcome(bool(_RAN.search(printed)), output)


def add(path: str | Path) -> None:
    """Run ``dvc add`` on a file or folder; a second call tracks its changes.

    Raises:
        SadclError: the path does not exist, or DVC is busy.
    """
    target = Path(path)
    if not target.exists():
        raise SadclError("The file or folder to track does not exist", where=path, fix="Check the name")
    dvc("add", target.name, root=target.parent)


def is_modified(record: Path) -> bool:
    """Whether a file or folder differs from what its ``.dvc`` file records; one that is gone does not.

    Raises:
        SadclError: DVC is busy, or can't read the file.
    """
    return '"modified"' in dvc("status", "--json", record.name, root=record.parent)


def untrack(record: Path) -> None:
    """Run ``dvc remove`` on a ``.dvc`` file: it goes, and git no longer ignores what it records.

    Raises:
        SadclError: DVC is busy, or can't read the file.
    """
    dvc("remove", record.name, root=record.parent)


def push(root: Path = Path(".")) -> None:
    """Run ``dvc push``: upload all tracked files that the remote lacks.

    Raises:
        SadclError: there is no remote, or it can't be reached.
    """
    dvc("push", root=root)


def pull(root: Path = Path(".")) -> None:
    """Run ``dvc pull``: download the tracked files; files that no remote has are skipped.

    Raises:
        SadclError: the remote can't be reached.
    """
    dvc("pull", "--allow-missing", root=root)


def checkout(root: Path = Path(".")) -> None:
    """Run ``dvc checkout``: restore tracked files from the cache; files that it lacks are skipped."""
    dvc("checkout", "--allow-missing", "--force", root=root)


def collect_garbage(root: Path = Path(".")) -> None:
    """Run ``dvc gc``: delete files from the cache that neither the workspace nor a commit refers to.

    Raises:
        SadclError: DVC is busy.
    """
    commits = ["--all-commits"] if repository.find(root) else []
    dvc("gc", "--force", "--workspace", *commits, root=root)


def dvc(*arguments: str, root: Path) -> str:
    """Run a DVC command and return its standard output.

    Raises:
        SadclError: the command failed; the message is DVC's reason.
    """
    completed = subprocess.run(
        _command(*arguments),
        cwd=root,
        env=processes.child_environment(**environment()),
        capture_output=True,
        text=True,
        check=False,
    )
    if completed.returncode != 0:
        raise _failure(completed.stdout + completed.stderr, completed.returncode, root)
    return completed.stdout


def _command(*arguments: str) -> list[str]:
    extras.require("dvc")
    # this Python's DVC, not the first one in PATH
    return [sys.executable, "-m", "dvc", *arguments]


def environment() -> dict[str, str]:
    """Variables for DVC: stages run this Python, without buffering, so that error messages stay in order."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {"DVC_NO_ANALYTICS": "1", "PYTHONUNBUFFERED": "1", "PATH": path}


def known_failure(printed: str, root: Path) -> SadclError | None:
    """The error that tells a person what to do about DVC's message; None where the message is none of these."""
    # not only of two runs: `dvc status` fails like this while a stage runs
    busy = _BUSY.search(printed)
    if busy is not None:
        path, pid, command = busy.groups()
        command = re.sub(r"^\S*/dvc(/__main__\.py)?(?= )", "dvc", command)
        return SadclError(
            f"DVC is busy: process {pid} ({command}) holds its lock",
            where=os.path.relpath(path, root.resolve()),
            fix="Wait for it, or stop it, and run this again",
        )
    if "is not a git repository" in printed:
        problem = "DVC expects the project in a git repository, and it is in none"
        fix = "Run `git init`, or `dvc config core.no_scm true` to use it without git"
        return SadclError(problem, where=root.resolve(), fix=fix)
    if "Could not find '" in printed and not (root / params.FILE).exists():
        fix = "Run `sadcl data add PATH --name NAME` or `sadcl recipe NAME`, and commit it"
        return SadclError("There are no settings", where=root / params.FILE, fix=fix)
    return None


def _failure(printed: str, status: int, root: Path) -> SadclError:
    known = known_failure(printed, root)
    if known is not None:
        return known
    failed = _FAILED.search(printed)
    if failed is not None:
        return _stage_failure(failed.group(1), failed.group(2), printed[: failed.start()])
    if status < 0:
        return SadclError(f"Signal {-status} ended DVC", where=root, fix="Run it again; finished stages are kept")
    errors = [text.removeprefix("ERROR: ") for text in printed.splitlines() if text.startswith("ERROR: ")]
    # of a file that it can't parse, DVC prints a drawing below the sentence
    errors += [text for text in printed.splitlines() if text.endswith((" is invalid.", " validation failed."))]
    last = errors[:1] or [text for text in printed.splitlines() if text.strip()][-1:] or [f"exit status {status}"]
    return SadclError(f"DVC failed: {last[0].strip().rstrip('.')}", where=root)


def _stage_failure(stage: str, reason: str, printed: str) -> StageError:
    exited = _EXITED.search(reason)
    if exited is None:
        return StageError(stage, None, f"{stage}: {reason}")
    # the stage's own status, which DVC only prints
    status = int(exited.group(1))
    message = _last_line(printed.splitlines())
    if status < 0 or not message:
        return StageError(stage, status, f"{stage}: exit status {status}, last output: {message or 'none'}")
    return StageError(stage, status, message)


def _last_line(lines: Sequence[str]) -> str:
    """Last line that a stage printed after its command, which DVC shows with ``> `` before it."""
    start = max((i for i, text in enumerate(lines) if text.startswith("> ")), default=-1)
    return next((text.strip() for text in reversed(lines[start + 1 :]) if text.strip()), "")
