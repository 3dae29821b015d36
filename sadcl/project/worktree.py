"""A git worktree of its own for a run that nobody watches: a person's half-edited tree stays out of it."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from sadcl import files, layout, pipeline, processes
from sadcl.errors import SadclError

SHARED = ".sadcl"
"""States of trainers, caches, studies and the local registry: one for all worktrees, by a link."""

SPLITS = "data/raw/*.splits.csv"
"""Who belongs to which split, a file a source that has no splits of its own."""
RESULTS = ("dvc.lock", "params.yaml", "recipes", "data/champion.json", "data/champion.dvc", SPLITS)
"""What a run may leave for git, beside files that git tracks already."""


@dataclass(frozen=True)
class Worktree:
    """A worktree on a branch of its own.

    Attributes:
        root: its folder.
        branch: its branch, such as ``retrain/2026-11-23``.
    """

    root: Path
    branch: str


@contextmanager
def temporary_worktree(root: Path, prefix: str, day: date, base: str = "HEAD") -> Iterator[Worktree]:
    """A fresh worktree of ``base``, with the cache, states and registry of ``root``; removed at the end.

    Its branch stays where something was committed to it. What a killed run left is removed first; the
    states of its trainers live outside, so the next run goes on where that one was.

    Raises:
        SadclError: this is no git repository, it has no commit, or data that a stage reads is in neither git nor DVC.
    """
    root = root.resolve()
    _remove_leftovers(root)
    start = git(root, "rev-parse", "--verify", "--quiet", f"{base}^{{commit}}", fix="Commit the project first").strip()
    branch = _free_branch(root, f"{prefix}/{day.isoformat()}")
    tree = Worktree(root / layout.WORKTREES / branch.removeprefix(f"{prefix}/"), branch)
    try:
        git(root, "worktree", "add", "--quiet", "-b", branch, str(tree.root), start)
        with files.lock(tree.root / "lock", "working in this worktree"):
            _populate(root, tree.root)
            yield tree
    finally:
        git(root, "worktree", "remove", "--force", str(tree.root), check=False)
        if git(root, "rev-parse", "--verify", "--quiet", branch, check=False).strip() == start:
            git(root, "branch", "--quiet", "--delete", "--force", branch, check=False)


def commit(root: Path, message: str, only: Sequence[str] = ()) -> str:
    """Commit what a run made: files that git tracks and those of ``RESULTS``, or ``only`` these (``*`` is any).

    Hooks are passed over: they look at code, and nothing here is code.

    Returns:
        The commit, shortened; empty where there was nothing to commit.

    Raises:
        SadclError: git refuses.
    """
    found = (path for name in only or RESULTS for path in ([root / name] if "*" not in name else root.glob(name)))
    paths = sorted(path.relative_to(root).as_posix() for path in found if path.exists())
    if not only:
        git(root, "add", "--update", ".")
    if paths:
        git(root, "add", "--", *paths)
    limits = ["--only", "--", *paths] if only else []
    if not git(root, "diff", "--cached", "--name-only", *limits[1:]).strip():
        return ""
    git(root, *_identity(root), "commit", "--quiet", "--no-verify", "--message", message, *limits)
    return git(root, "rev-parse", "--short", "HEAD").strip()


def git(root: Path, *words: str, check: bool = True, fix: str = "") -> str:
    """What git prints.

    Raises:
        SadclError: git fails, unless ``check`` is off.
    """
    asked = processes.git(root, *words)
    if check and asked.returncode != 0:
        said = (
            asked.stderr.strip() or asked.stdout.strip() or f"git {words[0]} gave status {asked.returncode}"
        ).splitlines()
        raise SadclError(
            f"Git refused: {said[-1].removeprefix('fatal: ')}", where=root, fix=fix or "Mend that and run it again"
        )
    return asked.stdout


def _populate(root: Path, tree: Path) -> None:
    """Link what all worktrees share, and bring the data here."""
    (tree / SHARED).symlink_to(root / SHARED, target_is_directory=True)
    pipeline.share_cache(root, tree)
    pipeline.checkout(tree)
    for kept in sorted(root.glob(SPLITS)):
        if not (tree / (name := kept.relative_to(root))).exists():
            what = f"{name} is not in git, so a run in a worktree of its own would deal the photos out anew"
            raise SadclError(what, where=root, fix="Commit it")
    for path in pipeline.missing(tree):
        raise _absent(root, path)


def _absent(root: Path, path: str) -> SadclError:
    """Why a worktree, which has what git and DVC know of and nothing else, lacks something that a stage reads."""
    tracked = f"{path}.dvc"
    if not git(root, "ls-files", "--", tracked).strip() and (root / path).exists():
        return SadclError(
            f"{path} is not versioned, so a run in a worktree of its own does not have it",
            where=root,
            fix=f"Run `dvc add {path}` (on the files themselves, not on a link to them) and commit {tracked}",
        )
    return SadclError(
        f"{path} is neither in git nor in DVC's cache, so a run in a worktree of its own does not have it",
        where=root,
        fix="Get it by `dvc pull`, or commit it",
    )


def _remove_leftovers(root: Path) -> None:
    for folder in (root / layout.WORKTREES).glob("*"):
        try:
            with files.lock(folder / "lock", "working in this worktree"):
                git(root, "worktree", "remove", "--force", str(folder), check=False)
        except SadclError:
            continue
    git(root, "worktree", "prune", check=False)


def _free_branch(root: Path, name: str) -> str:
    taken = set(git(root, "for-each-ref", "--format=%(refname:short)", "refs/heads").split())
    candidates = (name if i == 1 else f"{name}-{i}" for i in range(1, len(taken) + 2))
    return next(candidate for candidate in candidates if candidate not in taken)


def _identity(root: Path) -> list[str]:
    """A machine without a git user commits as sadcl."""
    if git(root, "config", "user.email", check=False).strip() or os.environ.get("GIT_AUTHOR_EMAIL"):
        return []
    return ["-c", "user.name=sadcl", "-c", "user.email=sadcl@localhost"]
