"""An empty folder becomes a project: the graph of stages, DVC's settings, and nothing accepted yet.

Outside this repository a stage can't name the files of its code. There it depends on their digest, one a stage, in
``sadcl.json``: after another sadcl was installed, ``sadcl init`` writes it anew, and what has changed is stale.
"""

import hashlib
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml

from sadcl import extras, files, processes
from sadcl.errors import SadclError
from sadcl.pipeline.config import set_up

GRAPH, CODE = Path("dvc.yaml"), Path("sadcl.json")
PACKAGE = Path(__file__).parent.parent
STARTER = PACKAGE / "starter"
_FILES = {
    "data/accepted.json": "null\n",
    "data/champion.json": "null\n",
    ".gitignore": "/.sadcl/\n/.dvc-remote/\n/.venv/\n/exported/\n/models/imported/\n",
}


def start(root: Path = Path("."), besides: Collection[Path] = ()) -> str:
    """Make an empty folder a project, or bring one that was made so up to the sadcl that is installed.

    Args:
        root: the folder.
        besides: what may lie in it already.

    Returns:
        What was done, a sentence; empty where there was nothing to do.

    Raises:
        SadclError: something else is in the folder, its ``dvc.yaml`` was edited, or DVC is missing or refuses.
    """
    extras.require("dvc")
    if (root / GRAPH).exists():
        return _renew(root) if (root / CODE).exists() else ""
    visible = [path for path in root.iterdir() if not path.name.startswith(".")]
    foreign = sorted(path.name for path in visible if not any(_holds(path, one) for one in besides))
    if foreign:
        fix = "Go to the project's folder, or begin in an empty one"
        raise SadclError(f"There is no dvc.yaml here, and there is {foreign[0]}", where=root.resolve(), fix=fix)
    inside = any((folder / ".git").exists() for folder in (root.resolve(), *root.resolve().parents))
    if not inside and shutil.which("git"):  # DVC can do without
        processes.git(root, "init", "--quiet")
    for name, text in _FILES.items():
        if not (root / name).exists():
            files.write_text(root / name, text)
    _write(root)
    set_up(root)
    return f"{root.resolve()} is a project now, with the stages in dvc.yaml"


def _renew(root: Path) -> str:
    before = files.read_json(root / CODE, "Get it back from git")
    _, code = _made()
    if before == code:
        return ""
    if files.digest_of((root / GRAPH).read_text(encoding="utf-8")) != before.get("graph"):
        fix = "Make it what git has, run `sadcl init`, and edit it again"
        raise SadclError("The installed sadcl is another one, and dvc.yaml was edited", where=root / GRAPH, fix=fix)
    _write(root)
    return "The stages are those of the sadcl that is installed"


def _write(root: Path) -> None:
    graph, code = _made()
    files.write_text(root / GRAPH, graph)
    files.write_json(root / CODE, code)


def _made() -> tuple[str, dict[str, Any]]:
    """The text of ``dvc.yaml``, and the value of ``sadcl.json``."""
    graph = yaml.safe_load((STARTER / "graph.yaml").read_text(encoding="utf-8"))
    code: dict[str, str] = {}
    for name, stage in graph["stages"].items():
        ours = [dep for dep in stage["deps"] if dep.startswith("sadcl/")]
        stage["deps"] = [dep for dep in stage["deps"] if dep not in ours]
        stage["params"] = [*stage.get("params", []), {str(CODE): [f"code.{name}"]}]
        code[name] = _digest(sorted(path for dep in ours for path in _code(PACKAGE.parent / dep)))
    text = yaml.safe_dump(graph, sort_keys=False, width=120, allow_unicode=True)
    return text, {"code": code, "graph": files.digest_of(text)}


def _code(path: Path) -> list[Path]:
    """A file, or all files of a package but Python's caches."""
    if path.is_file():
        return [path]
    return [file for file in path.rglob("*") if file.is_file() and file.suffix != ".pyc"]


def _digest(paths: list[Path]) -> str:
    return hashlib.sha256("".join(files.digest(path) for path in paths).encode()).hexdigest()


def _holds(path: Path, one: Path) -> bool:
    return one.resolve().is_relative_to(path.resolve())
