"""The DVC door: stages and their order, what is stale, run, add, push.

Structure is read through ``dvc.repo.Repo``, which promises no stability and stays in here; everything that
acts goes through DVC's command line.
"""

import json
import os
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sadcl import files, processes
from sadcl.errors import SadclError

SETTINGS = {
    "core.analytics": "false",
    "core.autostage": "false",
    "hydra.enabled": "false",
    "cache.type": "reflink,hardlink,copy",
}
REMOTE = "local"
REMOTE_FOLDER = ".dvc-remote"

Line = Callable[[str], None]


@dataclass(frozen=True)
class Stage:
    """One stage of ``dvc.yaml``: its files and the settings that it reads."""

    name: str
    desc: str
    deps: tuple[str, ...]
    outs: tuple[str, ...]
    params: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """What ``reproduce`` did."""

    ran: tuple[str, ...]
    """Stages whose command ran, in order."""
    output: str


def stages(root: Path = Path()) -> list[Stage]:
    """The stages in an order in which they can run; where the graph leaves it open, as ``dvc.yaml`` has them.

    Raises:
        SadclError: there is no DVC project, or ``dvc.yaml`` is not right.
    """
    import networkx as nx

    repo = _repo(root)
    try:
        written = {stage.addressing: i for i, stage in enumerate(repo.index.stages)}
        # the edges of DVC's graph point from a stage to what it needs
        order = nx.lexicographical_topological_sort(repo.index.graph.reverse(), key=lambda s: written[s.addressing])
        return [_stage(stage) for stage in order if stage.cmd]
    finally:
        repo.close()


def stale(root: Path = Path()) -> dict[str, list[str]]:
    """Stages that would run, with reasons in words; those downstream of a stale stage are among them.

    Raises:
        SadclError: DVC is busy with a stage.
    """
    printed = _dvc(["status", "--json"], root)
    found: dict[str, Any] = json.loads(printed[printed.index("{") :] or "{}")
    reasons = {name: _reasons(changes) for name, changes in found.items() if not name.endswith(".dvc")}
    made: dict[str, str] = {}
    for stage in stages(root):
        after = {made[dep] for dep in stage.deps if dep in made}
        if stage.name not in reasons and after:
            reasons[stage.name] = [f"follows {name}" for name in sorted(after)]
        if stage.name in reasons:
            made |= dict.fromkeys(stage.outs, stage.name)
    return {stage.name: reasons[stage.name] for stage in stages(root) if stage.name in reasons}


def reproduce(
    target: str | None = None, *, single: bool = False, root: Path = Path(), line: Line | None = None
) -> Outcome:
    """``dvc repro``: run what is stale, in a group of its own that ends with us.

    Args:
        target: a stage; everything without.
        single: this stage alone, not those before it.
        root: the project.
        line: called with each line as it comes, DVC's own small talk left out.

    Raises:
        SadclError: a stage failed (with its own last sentence), or somebody else runs it already.
    """
    ran: list[str] = []

    def pass_on(text: str) -> None:
        if started := re.match(r"Running stage '([^']+)'", text):
            ran.append(started[1].rsplit(":", 1)[-1])
        elif line is not None and not _SMALL_TALK.match(text):
            line(text)

    arguments = ["repro", *(["--single-item"] if single else []), *([target] if target else [])]
    printed = _dvc(arguments, root, pass_on)
    return Outcome(tuple(ran), printed)


def add(path: Path, root: Path = Path()) -> None:
    """Track a file or folder with DVC."""
    _dvc(["add", "--quiet", str(path)], root)


def push(root: Path = Path()) -> None:
    """Send what is tracked to the default remote."""
    _dvc(["push", "--quiet"], root)


def pull(root: Path = Path()) -> None:
    """Fetch what is tracked from the default remote."""
    _dvc(["pull", "--quiet"], root)


def collect_garbage(root: Path = Path()) -> None:
    """Drop from the cache what neither the workspace nor a branch, tag or commit needs."""
    _dvc(["gc", "--workspace", "--all-commits", "--force", "--quiet"], root)


def lock_digest(root: Path = Path()) -> str | None:
    """Digest of ``dvc.lock``: what made what, in one line; None before the first run."""
    lock = root / "dvc.lock"
    return files.digest(lock) if lock.exists() else None


def set_up(root: Path = Path()) -> None:
    """Make a folder a DVC project with a remote of its own; nothing to do where it is one."""
    if not (root / ".git").exists():
        code, printed = processes.run(["git", "init", "--quiet", "--initial-branch=main"], cwd=root)
        if code:
            raise SadclError(f"git init failed: {printed.strip()}", where=root, fix="Install git")
    if (root / ".dvc/config").exists():
        return
    _dvc(["init", "--quiet"], root)
    for name, value in SETTINGS.items():
        _dvc(["config", name, value], root)
    _dvc(["remote", "add", "--quiet", "--default", REMOTE, REMOTE_FOLDER], root)


def environment() -> dict[str, str]:
    """For DVC and what it runs: our own Python first, and nothing sent anywhere."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {"PATH": path, "DVC_NO_ANALYTICS": "1", "PYTHONUNBUFFERED": "1", "GX_ANALYTICS_ENABLED": "False"}


_SMALL_TALK = re.compile(
    r"^(> |\s*$|Stage '.*' didn't change|'.*' didn't change|Verifying data|Updating lock file|Generating lock file"
    r"|Use `dvc push`|To track the changes|\s+git add|To enable auto staging|\s+dvc config"
    r"|Data and pipelines are up to date)"
)


def _dvc(arguments: Iterable[str], root: Path, line: Line | None = None) -> str:
    command = [sys.executable, "-m", "dvc", *arguments]
    code, printed = processes.run(command, cwd=root, env=environment(), line=line)
    if code:
        raise _refusal(printed, command[3], root)
    return printed


def _refusal(printed: str, verb: str, root: Path) -> SadclError:
    """DVC's failure in one sentence: who blocks, which stage failed and why, or DVC's own error."""
    busy = re.search(r"'([^']+)' is busy.*?PID (\d+)", printed, re.DOTALL)
    if busy:
        what = f"DVC is busy: process {busy[2]} works on {busy[1]}"
        return SadclError(what, where=root, fix="Wait until it is done, then run this again")
    if "Unable to acquire lock" in printed:
        return SadclError(
            "DVC is busy with another command", where=root, fix="Wait until it is done, then run this again"
        )
    lines = [text for text in printed.splitlines() if text.strip()]
    failed = re.search(r"failed to reproduce '([^']+)'", printed)
    if failed:
        name = failed[1].rsplit(":", 1)[-1]
        own = [text for text in lines if text.startswith(f"{name}: ")]
        words = own[-1].removeprefix(f"{name}: ").rstrip(". ") if own else "it ended by itself or was ended"
        return SadclError(
            f"The stage {name} failed: {words}", where=root / "dvc.yaml", fix="Mend that, then run this again"
        )
    errors = [text.removeprefix("ERROR: ") for text in lines if text.startswith("ERROR: ")]
    return SadclError(
        f"dvc {verb} failed: {(errors or lines or ['it said nothing'])[0]}",
        where=root,
        fix="Mend that, then run this again",
    )


def _repo(root: Path) -> Any:
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        repo = Repo(str(root))
        repo.index.graph  # noqa: B018 - reads dvc.yaml, so that its errors come out here
    except DvcException as error:
        raise SadclError(
            f"DVC can't read the project: {error}", where=root, fix="Mend dvc.yaml, or run `dvc init`"
        ) from None
    return repo


def _stage(stage: Any) -> Stage:
    params = [name for dep in stage.deps for name in getattr(dep, "params", None) or ()]
    deps = [dep.def_path for dep in stage.deps if not hasattr(dep, "params")]
    name = stage.addressing.rsplit(":", 1)[-1]
    return Stage(name, stage.desc or "", tuple(deps), tuple(out.def_path for out in stage.outs), tuple(params))


def _reasons(changes: list[Any]) -> list[str]:
    """DVC's ``[{"changed deps": {"params.yaml": {"train.lr": "modified"}}}]`` as ``train.lr is modified``."""
    words: list[str] = []
    for change in changes:
        if isinstance(change, str):
            words.append(change)
            continue
        for found in change.values():
            for path, how in found.items():
                parts = how.items() if isinstance(how, dict) else [(path, how)]
                words += [f"{name} is {state}" for name, state in parts]
    return words
