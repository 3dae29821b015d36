"""The DVC door: which stages there are, which are stale, and how to run them.

The order of stages comes from DVC's own graph through its ``Repo`` class, which promises no
stability: it is touched in ``_index`` and ``share_cache`` and nowhere else. All the rest is ``dvc`` as a
person would type it.
"""

import json
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sadcl import files, processes
from sadcl.errors import SadclError

REMOTE = "local"
LOCK = "dvc.lock"
CONFIG, LOCAL_CONFIG = Path(".dvc/config"), Path(".dvc/config.local")
MENDABLE = 2
"""Exit status of a stage that stopped for a reason that a person must mend: trying again gives the same."""

SETTINGS = {
    "core": {"analytics": "false", "autostage": "false", "remote": REMOTE},
    "hydra": {"enabled": "false"},
    "cache": {"type": "reflink,hardlink,copy"},
    f'remote "{REMOTE}"': {"url": "../.dvc-remote"},
}

_BUSY = re.compile(r"'([^']+)' is busy, it is being blocked by:\s+\(PID (\d+)\): (.*)")
_RAN = re.compile(r"^(Running stage '|Stage '.*' is cached)", re.MULTILINE)
_FAILED = re.compile(r"^ERROR: failed to reproduce '([^']+)': (.*)", re.MULTILINE)
_EXITED = re.compile(r"failed to run: .*, exited with (-?\d+)$")
_NOISE = re.compile(
    r"\s*$|> |(Generating|Updating) lock file|To track the changes|To enable auto staging|\s+git add |\s+dvc config |"
    r"Use `dvc push`|Stage '.*' didn't change|Data and pipelines are up to date"
)


@dataclass(frozen=True)
class Stage:
    """One stage of ``dvc.yaml``.

    Attributes:
        name: as ``dvc repro NAME`` takes it.
        desc: what it does, in a few words; may be empty.
        deps: files and folders it reads, relative to the project.
        outs: files and folders it makes.
        params: the settings it reads.
    """

    name: str
    desc: str
    deps: tuple[str, ...]
    outs: tuple[str, ...]
    params: tuple[str, ...]


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


def require_project(root: Path = Path(".")) -> None:
    """Make sure that ``root`` is a project's folder, before anything is written there.

    Raises:
        SadclError: it is not.
    """
    for name, mend in (("dvc.yaml", ""), (CONFIG.parent.name, ", or run `dvc init`")):
        if not (root / name).exists():
            raise SadclError(f"There is no {name} here", where=root.resolve(), fix=f"Go to the project's folder{mend}")


def stages(root: Path = Path(".")) -> list[Stage]:
    """All stages, each after those it needs, otherwise in the order of ``dvc.yaml``.

    Raises:
        SadclError: there is no project here, or ``dvc.yaml`` can't be read.
    """
    return [stage for stage, _ in _ordered(root)]


def stale(root: Path = Path(".")) -> dict[str, list[str]]:
    """Stages that ``dvc repro`` would look at again, with the reasons, in the order of the graph.

    A stage that needs a stale one is stale too: its reason is ``follows NAME``.

    Raises:
        SadclError: DVC is busy (the sentence names the process), or can't read the project.
    """
    found = _status(root)
    reasons: dict[str, list[str]] = {}
    remade: set[str] = set()
    for stage, needs in _ordered(root):
        own = [reason for part in found.get(stage.name, []) for reason in _words(part, skip=remade & set(stage.deps))]
        follows = [f"follows {name}" for name in needs if name in reasons]
        if own or follows:
            reasons[stage.name] = own + follows
            remade.update(stage.outs)
    return reasons


def changed_sources(root: Path = Path(".")) -> list[str]:
    """The ``.dvc`` files whose data was edited since ``dvc add``; `dvc repro` takes these in as well."""
    return [
        name for name, parts in _status(root).items()
        if name.endswith(".dvc") and any("modified" in str(part.get("changed outs", "")) for part in parts if part)
    ]  # fmt: skip


def missing(root: Path = Path(".")) -> list[str]:
    """What stages read, no stage makes, and is not there, in the order of the graph."""
    found = stages(root)
    made = [Path(out) for stage in found for out in stage.outs]

    def comes_later(dep: Path) -> bool:
        return any(dep.is_relative_to(out) or out.is_relative_to(dep) for out in made)

    deps = dict.fromkeys(dep for stage in found for dep in stage.deps)
    return [dep for dep in deps if not comes_later(Path(dep)) and not (root / dep).exists()]


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

    status, printed = processes.run(_command(*arguments), cwd=root, env=_environment(), line=shown)
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
    _dvc("add", "--quiet", target.name, root=target.parent)


def push(root: Path = Path(".")) -> None:
    """Send what the remote does not have yet.

    Raises:
        SadclError: there is no remote, or it can't be reached.
    """
    _dvc("push", "--quiet", root=root)


def pull(root: Path = Path(".")) -> None:
    """Fetch what ``dvc.lock`` and the ``.dvc`` files name; what no remote has is left out.

    Raises:
        SadclError: the remote can't be reached.
    """
    _dvc("pull", "--quiet", "--allow-missing", root=root)


def checkout(root: Path = Path(".")) -> None:
    """Bring the files here that ``dvc.lock`` and the ``.dvc`` files name, as far as the cache has them."""
    _dvc("checkout", "--quiet", "--allow-missing", "--force", root=root)


def collect_garbage(root: Path = Path(".")) -> None:
    """Free what the cache holds for no file here and no commit.

    Raises:
        SadclError: DVC is busy.
    """
    _dvc("gc", "--quiet", "--force", "--workspace", "--all-commits", root=root)


def lock_digest(root: Path = Path(".")) -> str:
    """SHA-256 of ``dvc.lock``; empty where nothing was made yet."""
    path = root / LOCK
    return files.digest(path) if path.exists() else ""


def share_cache(root: Path, other: Path) -> None:
    """Let the project copy ``other`` use the cache and the local remote of ``root``, for itself only."""
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        cache = str(Path(repo.cache.local_cache_dir).resolve())
        remote = (repo.config["remote"].get(REMOTE) or {}).get("url")
    wanted = {"cache": {"dir": cache}, **({f'remote "{REMOTE}"': {"url": remote}} if remote else {})}
    _configure(other / LOCAL_CONFIG, wanted, start=root / LOCAL_CONFIG)


def set_up(root: Path = Path(".")) -> None:
    """Make ``root`` a DVC project with a remote inside it; settings that stand there stay. Quick when done already.

    Raises:
        SadclError: DVC refuses.
    """
    if not (root / CONFIG).exists():
        _dvc("init", "--quiet", *_scm(root), root=root)
    _configure(root / CONFIG, SETTINGS, start=root / CONFIG, keep=True)


def _configure(path: Path, wanted: Mapping[str, Mapping[str, str]], *, start: Path, keep: bool = False) -> None:
    """Write one of DVC's settings files: what stands in ``start``, then ``wanted`` (with ``keep`` where free)."""
    from configobj import ConfigObj  # type: ignore[import-untyped,unused-ignore]

    before = start.read_text(encoding="utf-8").splitlines() if start.exists() else []
    config = ConfigObj(list(before))
    for part, keys in wanted.items():
        section = config.setdefault(part, {})
        section.update({key: value for key, value in keys.items() if not (keep and key in section)})
    if not path.exists() or config != ConfigObj(before):
        files.write_text(path, "\n".join(config.write()) + "\n")


def _scm(root: Path) -> list[str]:
    """How ``dvc init`` stands to git: at its top, below it, or without it."""
    if (root / ".git").exists():
        return []
    return ["--subdir"] if any((parent / ".git").exists() for parent in root.resolve().parents) else ["--no-scm"]


def _ordered(root: Path) -> list[tuple[Stage, list[str]]]:
    """The stages in order, each with the names of those it needs directly."""
    from networkx import lexicographical_topological_sort  # type: ignore[import-untyped,unused-ignore]

    order, graph = _index(root)
    named = {stage: _stage(stage, root) for stage in order if getattr(stage, "name", None)}
    position = {stage: i for i, stage in enumerate(order)}
    needs = {
        stage: sorted((s for s in graph.successors(stage) if s in named), key=position.__getitem__) for stage in named
    }
    walk = lexicographical_topological_sort(graph.reverse(copy=False), key=position.__getitem__)
    return [(named[stage], [named[s].name for s in needs[stage]]) for stage in walk if stage in named]


def _index(root: Path) -> tuple[list[Any], Any]:
    """DVC's stages in the order of the files, and its graph: an edge from each stage to each that it needs."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with warnings.catch_warnings(), Repo(str(root)) as repo:
            warnings.simplefilter("ignore")
            return list(repo.index.stages), repo.index.graph
    except DvcException as error:
        raise SadclError(
            f"DVC can't read the project: {error}", where=root, fix="Mend dvc.yaml, or run `dvc init`"
        ) from None


def _stage(stage: Any, root: Path) -> Stage:
    file = os.path.relpath(stage.path, root)
    deps = [dep for dep in stage.deps if not hasattr(dep, "params")]
    return Stage(
        name=stage.name if file == "dvc.yaml" else f"{file}:{stage.name}",
        desc=stage.desc or "",
        deps=tuple(dep.def_path for dep in deps),
        outs=tuple(out.def_path for out in stage.outs),
        params=tuple(name for dep in stage.deps if hasattr(dep, "params") for name in dep.params or ()),
    )


def _status(root: Path) -> dict[str, list[Any]]:
    value: dict[str, list[Any]] = json.loads(_dvc("status", "--json", root=root))
    return value


def _words(part: Any, skip: Iterable[str]) -> Iterator[str]:
    """Reasons as a person says them; those named in ``skip`` are told by the stage that makes them."""
    if isinstance(part, str):
        yield part.replace("changed command", "its command changed").replace("always changed", "it always runs")
        return
    for changes in part.values():
        for path, how in changes.items() if isinstance(changes, dict) else ():
            if path not in skip:
                yield from (
                    [f"{key} {word}" for key, word in how.items()] if isinstance(how, dict) else [f"{path} {how}"]
                )


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "dvc", *arguments]


def _environment() -> dict[str, str]:
    """Stages say ``python``: it must be the one that runs us. Unbuffered, so that a stage's last line comes last."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {"DVC_NO_ANALYTICS": "1", "PYTHONUNBUFFERED": "1", "PATH": path}


def _dvc(*arguments: str, root: Path) -> str:
    """A short DVC command: what it printed.

    Raises:
        SadclError: it failed; DVC's reason in one sentence.
    """
    asked = subprocess.run(
        _command(*arguments),
        cwd=root,
        env={**os.environ, **_environment()},
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode != 0:
        raise _failure(asked.stdout + asked.stderr, asked.returncode, root)
    return asked.stdout


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
