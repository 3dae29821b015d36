"""Stages of a project in the order of their dependencies, and which of them are stale.

Both come from DVC's class ``Repo``: to read the project once in this process costs half of what the command costs next
to it. Its interface may change; only ``_open`` and what takes its result use it.
"""

import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from heapq import heappop, heappush
from pathlib import Path
from typing import Any

from sadcl import extras, files
from sadcl.errors import SadclError, first_line
from sadcl.pipeline.dvc import known_failure

LOCK = "dvc.lock"


@dataclass(frozen=True)
class Stage:
    """One stage of ``dvc.yaml``.

    Attributes:
        name: the argument of ``dvc repro NAME``.
        desc: short description; may be empty.
        deps: files and folders that it reads, relative to the project.
        outs: files and folders that it writes.
        params: keys of params.yaml that it reads.
    """

    name: str
    desc: str
    deps: tuple[str, ...]
    outs: tuple[str, ...]
    params: tuple[str, ...]


def stages(root: Path = Path(".")) -> list[Stage]:
    """All stages in topological order, and in the order of ``dvc.yaml`` where that leaves a choice.

    Raises:
        SadclError: there is no project here, or ``dvc.yaml`` can't be read.
    """
    with _open(root) as repo:
        return [stage for stage, _ in _ordered(repo, root)]


def stale(root: Path = Path(".")) -> dict[str, list[str]]:
    """Stages that ``dvc repro`` would run, with the reasons, in topological order.

    A stage that depends on a stale one is stale too: its reason is ``follows NAME``.

    Raises:
        SadclError: DVC is busy (the message names the process), or can't read the project.
    """
    with _open(root, lock=True) as repo:
        status, ordered = _status(repo, root), _ordered(repo, root)
    reasons: dict[str, list[str]] = {}
    outdated: set[str] = set()
    for stage, upstream in ordered:
        skip = outdated & set(stage.deps)
        changes = [reason for part in status.get(stage.name, []) for reason in _reasons(part, skip)]
        follows = [f"follows {name}" for name in upstream if name in reasons]
        if changes or follows:
            reasons[stage.name] = changes + follows
            outdated.update(stage.outs)
    return reasons


def changed_sources(root: Path = Path(".")) -> list[str]:
    """The ``.dvc`` files whose data changed since ``dvc add``; ``dvc repro`` updates them too."""
    with _open(root, lock=True) as repo:
        status = _status(repo, root)
    return [
        name for name, parts in status.items()
        if name.endswith(".dvc") and any("modified" in str(part.get("changed outs", "")) for part in parts if part)
    ]  # fmt: skip


def missing(root: Path = Path(".")) -> list[str]:
    """Dependencies that no stage writes and that do not exist, in topological order of the stages."""
    ordered = stages(root)
    outputs = [Path(out) for stage in ordered for out in stage.outs]

    def is_output(dep: Path) -> bool:
        return any(dep.is_relative_to(out) or out.is_relative_to(dep) for out in outputs)

    deps = dict.fromkeys(dep for stage in ordered for dep in stage.deps)
    return [dep for dep in deps if not is_output(Path(dep)) and not (root / dep).exists()]


def lock_digest(root: Path = Path(".")) -> str:
    """SHA-256 of ``dvc.lock`` in hexadecimal; empty before the first run."""
    path = root / LOCK
    return files.digest(path) if path.exists() else ""


def _ordered(repo: Any, root: Path) -> list[tuple[Stage, list[str]]]:
    """Stages in topological order, each with the names of its direct dependencies.

    Raises:
        SadclError: stages depend on each other in a circle.
    """
    every = list(repo.index.stages)
    position = {stage: i for i, stage in enumerate(every)}
    writers = {Path(out.fs_path): stage for stage in every for out in stage.outs}
    # DVC has such a graph too, but in a library whose import takes a fifth of a second
    upstream = {
        stage: {writer for dep in stage.deps for writer in _writers(Path(dep.fs_path), writers)} - {stage}
        for stage in every
    }
    sorter, ready, walk = TopologicalSorter(upstream), list[int](), []
    try:
        sorter.prepare()
    except CycleError as error:
        circle = ", ".join(_name(stage, root) for stage in error.args[1][:-1])
        raise SadclError(f"The stages {circle} depend on each other", where=root, fix="Correct dvc.yaml") from None
    while sorter.is_active():
        for stage in sorter.get_ready():
            heappush(ready, position[stage])
        stage = every[heappop(ready)]
        sorter.done(stage)
        if getattr(stage, "name", None):  # not the files of `dvc add`
            before = sorted((s for s in upstream[stage] if getattr(s, "name", None)), key=position.__getitem__)
            walk.append((_stage(stage, root), [_name(s, root) for s in before]))
    return walk


def _writers(dep: Path, writers: dict[Path, Any]) -> Iterator[Any]:
    """Stages that write a file or folder, a part of it, or a folder around it."""
    yield from (writers[path] for path in (dep, *dep.parents) if path in writers)
    yield from (writers[path] for path in writers if dep in path.parents)


@contextmanager
def _open(root: Path, lock: bool = False) -> Iterator[Any]:
    """Open the project as DVC's ``Repo``, and with its lock, which asking for the status of a stage takes.

    Raises:
        SadclError: DVC is busy, or can't read the project.
    """
    extras.require("dvc")
    from dvc.exceptions import DvcException
    from dvc.repo import Repo, lock_repo

    try:
        with warnings.catch_warnings(), Repo(str(root)) as repo, lock_repo(repo) if lock else nullcontext():
            warnings.simplefilter("ignore")
            yield repo
    except DvcException as error:
        raise known_failure(str(error), root) or SadclError(
            f"DVC can't read the project: {_message(error, root)}",
            where=root,
            fix="Correct dvc.yaml, or run `dvc init`",
        ) from None


def _message(error: Exception, root: Path) -> str:
    """First line of DVC's message; for YAML that it can't parse, the message of its command."""
    file = getattr(error, "relpath", None)
    return first_line(error) if file is None else f"'{os.path.relpath(file, root)}' is invalid"


def _stage(stage: Any, root: Path) -> Stage:
    deps = [dep for dep in stage.deps if not hasattr(dep, "params")]
    return Stage(
        name=_name(stage, root),
        desc=stage.desc or "",
        deps=tuple(dep.def_path for dep in deps),
        outs=tuple(out.def_path for out in stage.outs),
        params=tuple(name for dep in stage.deps if hasattr(dep, "params") for name in dep.params or ()),
    )


def _name(stage: Any, root: Path) -> str:
    """Argument of ``dvc repro`` for a stage, or a file of ``dvc add``, in the project's folder."""
    file, name = os.path.relpath(stage.path, root), getattr(stage, "name", None)
    return file if name is None else str(name) if file == "dvc.yaml" else f"{file}:{name}"


def _status(repo: Any, root: Path) -> dict[str, list[Any]]:
    """Changes of stages and sources as ``dvc status`` reports them, by the name in the project's folder."""
    # `repo.status()` would read the project twice more, and names stages relative to the working directory
    return {
        _name(stage, root): parts for stage in repo.index.stages for parts in stage.status(check_updates=True).values()
    }


def _reasons(part: Any, skip: Iterable[str]) -> Iterator[str]:
    """Reasons in one part of DVC's status, without paths in ``skip``: the stage that writes these is stale itself."""
    if isinstance(part, str):
        yield part.replace("changed command", "its command changed").replace("always changed", "it always runs")
        return
    for changes in part.values():
        for path, how in changes.items() if isinstance(changes, dict) else ():
            if path not in skip:
                yield from (
                    [f"{key} {word}" for key, word in how.items()] if isinstance(how, dict) else [f"{path} {how}"]
                )
