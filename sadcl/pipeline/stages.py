"""Which stages there are, each after those it needs, and which are stale.

DVC's own graph, through its ``Repo`` class, gives the order; it promises no stability: only ``_index`` touches it.
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


def lock_digest(root: Path = Path(".")) -> str:
    """SHA-256 of ``dvc.lock``; empty where nothing was made yet."""
    path = root / LOCK
    return files.digest(path) if path.exists() else ""


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
    value: dict[str, list[Any]] = json.loads(dvc("status", "--json", root=root))
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
