"""Creation of a project in an empty folder: ``dvc.yaml``, DVC's settings, and empty records of accepted data.

The stages of such a project can't depend on files of code, which are in the installed package. They depend on digests
of these files, one per stage, in ``sadcl.json``. After an upgrade of sadcl, ``sadcl init`` updates the digests, and the
stages whose code changed become stale.
"""

import hashlib
import shutil
from collections.abc import Collection
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from sadcl import extras, files, processes
from sadcl.errors import SadclError
from sadcl.pipeline import repository
from sadcl.pipeline.config import CONFIG, set_up

GRAPH, CODE = Path("dvc.yaml"), Path("sadcl.json")
PACKAGE = Path(__file__).parent.parent
STARTER = PACKAGE / "starter"
_FILES = {
    "data/accepted.json": "null\n",
    "data/champion.json": "null\n",
}


def start(root: Path = Path("."), besides: Collection[Path] = ()) -> str:
    """Create a project in an empty folder, or update a project to the installed sadcl.

    Args:
        root: the folder.
        besides: files and folders that may be in it already.

    Returns:
        A sentence about what was done; empty if there was nothing to do.

    Raises:
        SadclError: something else is in the folder, its ``dvc.yaml`` was edited, or DVC is missing or refuses.
    """
    extras.require("dvc")
    if (root / GRAPH).exists():
        if not (root / CODE).exists():
            graph, code = _render()
            if (root / GRAPH).read_text(encoding="utf-8") != graph:
                return ""
            files.write_json(root / CODE, code)  # the creation was interrupted before
        completed = repository.write_ignore_file(root)
        if not (root / CONFIG).exists():  # the creation was interrupted
            set_up(root)
            return _update(root) or f"Completed the project in {root.resolve()}"
        return _update(root) or (f"Completed {root / repository.IGNORE}" if completed else "")
    visible = [path for path in root.iterdir() if not path.name.startswith(".")]
    foreign = sorted(
        path.name for path in visible
        if not any(_contains(path, allowed) for allowed in besides) and not _is_unfinished(root, path)
    )  # fmt: skip
    if foreign:
        fix = "Go to the project's folder, or start in an empty one"
        problem = f"There is no dvc.yaml here, and the folder is not empty: it contains {foreign[0]}"
        raise SadclError(problem, where=root.resolve(), fix=fix)
    rule = repository.folder_rule(root)
    if (rule or not repository.contains(root)) and shutil.which("git"):  # DVC works without git too
        processes.git(root, "init", "--quiet")
    repository.write_ignore_file(root)
    for name, text in _FILES.items():
        if not (root / name).exists():
            files.write_text(root / name, text)
    _write(root)
    set_up(root)
    own = f", in a git repository of its own, because git ignores the folder by a rule ({rule})" if rule else ""
    return f"Created a project in {root.resolve()}{own}; its stages are in dvc.yaml"


def _update(root: Path) -> str:
    before = files.read_json(root / CODE, "Restore it from git")
    _, code = _render()
    if before == code:
        return ""
    # an edited graph is somebody's work: it is not overwritten; the new one is of an update that was interrupted
    if files.digest_of((root / GRAPH).read_text(encoding="utf-8")) not in (before.get("graph"), code["graph"]):
        fix = "Restore it from git, run `sadcl init`, and edit it again"
        problem = "sadcl has another version than the project, and dvc.yaml was edited"
        raise SadclError(problem, where=root / GRAPH, fix=fix)
    _write(root)
    return "Updated the stages in dvc.yaml to the installed sadcl"


def _write(root: Path) -> None:
    graph, code = _render()
    files.write_text(root / GRAPH, graph)
    files.write_json(root / CODE, code)


def _render() -> tuple[str, dict[str, Any]]:
    """Text of ``dvc.yaml``, and value of ``sadcl.json``: the digest of each stage's code, and of the text."""
    graph = yaml.safe_load((STARTER / "graph.yaml").read_text(encoding="utf-8"))
    code: dict[str, str] = {}
    for name, stage in graph["stages"].items():
        # code of the package is outside the project: DVC compares its digest as a setting instead of a file
        modules = [dep for dep in stage["deps"] if dep.startswith("sadcl/")]
        stage["deps"] = [dep for dep in stage["deps"] if dep not in modules]
        stage["params"] = [*stage.get("params", []), {str(CODE): [f"code.{name}"]}]
        code[name] = _digest(sorted(path for dep in modules for path in _code(PACKAGE.parent / dep)))
    text = yaml.safe_dump(graph, sort_keys=False, width=120, allow_unicode=True)
    return text, {"code": code, "graph": files.digest_of(text)}


def _code(path: Path) -> list[Path]:
    """The file itself, or all files of a package without Python's caches."""
    if path.is_file():
        return [path]
    # caches differ between Python versions and runs
    return [file for file in path.rglob("*") if file.is_file() and file.suffix != ".pyc"]


def _digest(paths: list[Path]) -> str:
    return hashlib.sha256("".join(files.digest(path) for path in paths).encode()).hexdigest()


def _is_unfinished(root: Path, path: Path) -> bool:
    """Whether a folder holds nothing but files of a creation that was interrupted."""
    if path.name not in {name.partition("/")[0] for name in _FILES} or path.is_symlink() or not path.is_dir():
        return False
    # one more than belongs there is enough to see that it is somebody else's
    contents = list(islice(path.iterdir(), len(_FILES) + 1))
    texts = {file: _FILES.get(file.relative_to(root).as_posix()) for file in contents}
    return bool(contents) and all(
        text is not None and file.is_file() and file.stat().st_size == len(text) and file.read_text() == text
        for file, text in texts.items()
    )


def _contains(path: Path, allowed: Path) -> bool:
    return allowed.resolve().is_relative_to(path.resolve())
