"""Stages of a project in the order of their dependencies, and which of them are stale.

The order is that of DVC's own graph, through its class ``Repo``. Its interface may change; only ``_index`` uses it.
"""

import json
import os
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sadcl import files
from sadcl.errors import SadclError
from sadcl.pipeline.dvc import dvc

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
    return [stage for stage, _ in _ordered(root)]


def stale(root: Path = Path(".")) -> dict[str, list[str]]:
    """Stages that ``dvc repro`` would run, with the reasons, in topological order.

    A stage that depends on a stale one is stale too: its reason is ``follows NAME``.

    Raises:
        SadclError: DVC is busy (the message names the process), or can't read the project.
    """
    status = _status(root)
    reasons: dict[str, list[str]] = {}
    outdated: set[str] = set()
    for stage, upstream in _ordered(root):
        skip = outdated & set(stage.deps)
        changes = [reason for part in status.get(stage.name, []) for reason in _reasons(part, skip)]
        follows = [f"follows {name}" for name in upstream if name in reasons]
        if changes or follows:
            reasons[stage.name] = changes + follows
            outdated.update(stage.outs)
    return reasons


def changed_sources(root: Path = Path(".")) -> list[str]:
    """The ``.dvc`` files whose data changed since ``dvc add``; ``dvc repro`` updates them too."""
    return [
        name for name, parts in _status(root).items()
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


def _ordered(root: Path) -> list[tuple[Stage, list[str]]]:
    """Stages in topological order, each with the names of its direct dependencies."""
    from networkx import lexicographical_topological_sort  # type: ignore[import-untyped,unused-ignore]

    order, graph = _index(root)
    records = {stage: _stage(stage, root) for stage in order if getattr(stage, "name", None)}  # not `dvc add` files
    position = {stage: i for i, stage in enumerate(order)}
    upstream = {
        stage: sorted((s for s in graph.successors(stage) if s in records), key=position.__getitem__)
        for stage in records
    }
    walk = lexicographical_topological_sort(graph.reverse(copy=False), key=position.__getitem__)
    return [(records[stage], [records[s].name for s in upstream[stage]]) for stage in walk if stage in records]


def _index(root: Path) -> tuple[list[Any], Any]:
    """DVC's stages in the order of the files, and its graph, with an edge from each stage to each dependency."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with warnings.catch_warnings(), Repo(str(root)) as repo:
            warnings.simplefilter("ignore")
            return list(repo.index.stages), repo.index.graph
    except DvcException as error:
        raise SadclError(
            f"DVC can't read the project: {error}", where=root, fix="Correct dvc.yaml, or run `dvc init`"
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
    value: dict[str, list[Any]] = json.loads(dvc("status", "--json", root=root))
    return value


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
