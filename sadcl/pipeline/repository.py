"""The git repository of a project: its top, the project's folder below it, and files that git must not ignore."""

import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sadcl import files, layout, params, processes
from sadcl.errors import SadclError

IGNORE = Path(".gitignore")
IGNORED = (
    "/.sadcl/", "/.dvc-remote/", "/.venv/", "/exported/", "/data_report.html", "/models/imported/",
    f"/{layout.CHAMPION_FOLDER}/",
)  # fmt: skip
"""Patterns that git ignores: files of this machine, and those that DVC tracks."""
TRACKED = (
    ".gitignore", ".dvcignore", ".dvc/config", "dvc.yaml", "dvc.lock", "sadcl.json", str(params.FILE), "recipes/*.yaml",
    str(layout.BASELINE), str(layout.CHAMPION), str(layout.AUDIT_LOG), f"{layout.CHAMPION_FOLDER}.dvc",
    f"{layout.RAW}/*.dvc", f"{layout.RAW}/*.splits.csv", f"{layout.RAW}/*.sources.json",
)  # fmt: skip
"""Files of a project that belong into git."""
NEUTRAL = ("-c", "user.name=sadcl", "-c", "user.email=sadcl@localhost")
"""Options of git that set an author."""


@dataclass(frozen=True)
class Repository:
    """A git repository with a working tree.

    Attributes:
        top: folder of the working tree.
        prefix: the project's folder, relative to ``top``.
    """

    top: Path
    prefix: Path


def find(root: Path) -> Repository | None:
    """Repository whose working tree contains ``root``; None where there is none, or git refuses it."""
    top, prefix = (processes.git(root, "rev-parse", option) for option in ("--show-toplevel", "--show-prefix"))
    if top.returncode or prefix.returncode:
        return None
    return Repository(Path(top.stdout.removesuffix("\n")), Path(prefix.stdout.removesuffix("\n")))


def contains(root: Path) -> bool:
    """Whether a repository begins in ``root`` or in a folder above it; it needs no command git."""
    return any((folder / ".git").exists() for folder in (root.resolve(), *root.resolve().parents))


def require(root: Path) -> Repository:
    """Repository whose working tree contains ``root``.

    Raises:
        SadclError: git is missing, there is no repository, it is bare, or git refuses it.
    """
    repository = find(root)
    if repository is not None:
        return repository
    where = root.resolve()
    if shutil.which("git") is None:
        raise SadclError("The command git is missing", where=where, fix="Install git")
    inside = processes.git(root, "rev-parse", "--is-inside-work-tree")
    if inside.returncode == 0:
        problem = "This folder is in a bare git repository, which has no working tree"
        raise SadclError(problem, where=where, fix="Clone the repository, and work in the clone")
    if contains(root):
        raise SadclError(f"git refuses the repository of this folder: {_reason(inside.stderr)}", where=where)
    fix = "Run `git init` and commit the project, or clone it"
    raise SadclError("This folder is not in a git repository", where=where, fix=fix)


def git(root: Path, *words: str, check: bool = True, fix: str = "") -> str:
    """Run git and return its standard output.

    Args:
        root: folder to run it in.
        words: arguments.
        check: whether a failure is an error.
        fix: what to do about a failure, for the error.

    Raises:
        SadclError: git fails, and ``check`` is on.
    """
    completed = processes.git(root, *words)
    if check and completed.returncode != 0:
        reason = _reason(completed.stderr.strip() or completed.stdout.strip() or f"exit status {completed.returncode}")
        command = next((word for word in words if not word.startswith("-") and "=" not in word), "")
        raise SadclError(
            f"`git {command}` failed: {reason}", where=root, fix=fix or "Solve this in git and run it again"
        )
    return completed.stdout


def has_identity(root: Path) -> bool:
    """Whether git knows an author here, from its settings or the environment, without a guess from the host's name."""
    names = ("GIT_AUTHOR_IDENT", "GIT_COMMITTER_IDENT")
    return not any(processes.git(root, "-c", "user.useConfigOnly=true", "var", name).returncode for name in names)


def has_fixed_worktree(root: Path) -> bool:
    """Whether the repository's settings name its working tree, as a submodule's do.

    DVC then takes that place for the top of every further worktree.
    """
    return processes.git(root, "config", "core.worktree").returncode == 0


def ignored(root: Path, paths: Iterable[str]) -> dict[str, str]:
    """Paths, relative to ``root``, that git ignores although it does not track them, with file, line and pattern."""
    command = ("-c", "core.quotePath=off", "check-ignore", "--verbose", "--", *paths)
    rules = (line.rpartition("\t") for line in processes.git(root, *command).stdout.splitlines())
    # a pattern with `!` re-includes what an earlier one ignores
    return {path: rule for rule, _, path in rules if not rule.split(":", 2)[-1].startswith("!")}


def uncommitted(paths: Iterable[Path], root: Path) -> list[Path]:
    """Files of the last commit whose content differs from it; none without a repository."""

    def differs(path: Path) -> bool:
        name = os.path.relpath(path, root)
        committed = processes.git(root, "cat-file", "-e", f"HEAD:./{name}").returncode == 0
        return committed and processes.git(root, "diff", "--quiet", "HEAD", "--", name).returncode == 1

    return [path for path in paths if path.exists() and differs(path)]


def folder_rule(root: Path) -> str:
    """Rule by which git ignores the project's folder itself, which no rule in it can change; empty if none does."""
    repository, folder = find(root), root.resolve()
    if repository is None or repository.prefix == Path():
        return ""
    return ignored(folder.parent, [folder.name]).get(folder.name, "")


def write_ignore_file(root: Path) -> bool:
    """Complete the project's ``.gitignore``: what git leaves alone, and what a rule of a folder above would hide.

    Returns:
        Whether it was changed.
    """
    path = root / IGNORE
    before = text = path.read_text(encoding="utf-8") if path.exists() else ""
    # folders first: git looks for no file in a folder that it ignores
    for lines in (_folders, list):
        text = _extend(path, text, [f"!/{line}" for line in lines(_hidden(root))])
    left_alone = ignored(root, [f"{line.strip('/')}/x" for line in IGNORED])
    text = _extend(path, text, [line for line in IGNORED if f"{line.strip('/')}/x" not in left_alone])
    return text != before


def problems(root: Path = Path(".")) -> list[str]:
    """One sentence per reason why git can't keep this project; empty if there is none."""
    try:
        require(root)
    except SadclError as error:
        return [str(error)]
    if rule := folder_rule(root):
        fix = "change the rule, or run `git init` here for a repository of its own"
        return [f"git ignores the project's folder by a rule ({rule}), so nothing can be committed; {fix}."]
    hidden = ignored(root, [pattern.replace("*", "x") for pattern in TRACKED])
    if not hidden:
        return []
    names = [path for path in hidden if (root / path).exists()] or list(hidden)
    more, rules = " and more" if len(names) > 3 else "", "; ".join(dict.fromkeys(hidden.values()))
    fix = "run `sadcl init`, which re-includes files of the project, or change the rule"
    return [f"git ignores {', '.join(names[:3])}{more} by a rule ({rules}); {fix}."]


def notes(root: Path = Path(".")) -> list[str]:
    """Remarks on the repository that are no problems, one sentence per line."""
    if find(root) is None:
        return []
    lines = []
    if processes.git(root, "rev-parse", "--verify", "--quiet", "HEAD").returncode:
        lines.append("The repository has no commit yet; scheduled runs start from one.")
    if not has_identity(root):
        lines.append("git knows no author here, so runs commit as sadcl@localhost; `git config user.email` sets one.")
    return lines


def _hidden(root: Path) -> list[str]:
    """Patterns of ``TRACKED`` whose files git ignores by a rule outside the project's own ``.gitignore``."""
    repository = find(root)
    own = f"{(repository.prefix / IGNORE).as_posix()}:" if repository else ""
    examples = {pattern.replace("*", "x"): pattern for pattern in TRACKED}
    return [examples[path] for path, rule in ignored(root, examples).items() if not rule.startswith(own)]


def _folders(patterns: Sequence[str]) -> list[str]:
    """Folders of patterns, each after the one that contains it."""
    parents = (parent for pattern in patterns for parent in reversed(Path(pattern).parents[:-1]))
    return list(dict.fromkeys(parent.as_posix() for parent in parents))


def _extend(path: Path, text: str, lines: Iterable[str]) -> str:
    """Append the lines that a file of this text lacks; return the new text."""
    missing = [line for line in lines if line not in text.splitlines()]
    if missing:
        text += ("" if not text or text.endswith("\n") else "\n") + "".join(f"{line}\n" for line in missing)
        files.write_text(path, text)
    return text


def _reason(output: str) -> str:
    """The line of git's output that says what failed, without advice."""
    lines = [line for line in output.splitlines() if line.strip() and not line.startswith("hint:")]
    reasons = [line for line in lines if line.startswith(("fatal: ", "error: "))] or lines[-1:] or ["no reason"]
    return reasons[0].removeprefix("fatal: ").removeprefix("error: ").rstrip(".")
