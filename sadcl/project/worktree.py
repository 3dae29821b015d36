"""Git worktrees for scheduled runs, which must not see a person's half-edited files."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from sadcl import files, layout, pipeline, processes
from sadcl.errors import SadclError

SHARED = layout.LOCAL
"""Trainer states, caches, studies and the local registry: all worktrees share them through a link."""

SPLITS = f"{layout.RAW}/*.splits.csv"
"""Splits of sources that come without splits, one file per source."""
RESULTS = ("dvc.lock", "params.yaml", "recipes", str(layout.CHAMPION), f"{layout.CHAMPION_FOLDER}.dvc", SPLITS)
"""Files that a run may add to git; files that git tracks already are committed anyway."""


@dataclass(frozen=True)
class Worktree:
    """A git worktree on a new branch.

    Attributes:
        root: folder of the worktree.
        branch: name of the branch, such as ``retrain/2026-11-23``.
    """

    root: Path
    branch: str


@contextmanager
def temporary_worktree(root: Path, prefix: str, day: date, base: str = "HEAD") -> Iterator[Worktree]:
    """Yield a new worktree of ``base`` that shares the cache, states and registry of ``root``; remove it at the end.

    The branch is kept if it has a commit. Worktrees of killed runs are removed first. Trainer states are outside the
    worktree, so a new run continues an interrupted training.

    Args:
        root: the project's folder.
        prefix: first part of the branch's name.
        day: second part of the branch's name.
        base: commit to start from.

    Raises:
        SadclError: ``root`` is not in a git repository, has no commit, or data that a stage reads is in neither git
            nor DVC.
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
    """Commit the results of a run: changed files that git tracks, and those of ``RESULTS``.

    Hooks are skipped, because they check code and a run changes none.

    Args:
        root: the project or worktree.
        message: the commit message.
        only: commit these files only; ``*`` is a wildcard.

    Returns:
        The abbreviated commit; empty if there was nothing to commit.

    Raises:
        SadclError: git fails.
    """
    candidates = (path for name in only or RESULTS for path in ([root / name] if "*" not in name else root.glob(name)))
    paths = sorted(path.relative_to(root).as_posix() for path in candidates if path.exists())
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
        output = completed.stderr.strip() or completed.stdout.strip() or f"exit status {completed.returncode}"
        reason = output.splitlines()[-1].removeprefix("fatal: ")
        fix = fix or "Solve this in git and run it again"
        raise SadclError(f"`git {words[0]}` failed: {reason}", where=root, fix=fix)
    return completed.stdout


def _populate(root: Path, tree: Path) -> None:
    """Link the shared folder into a worktree, and check out the data.

    Raises:
        SadclError: data that a stage reads, or a file of splits, is in neither git nor DVC.
    """
    (tree / SHARED).symlink_to(root / SHARED, target_is_directory=True)
    pipeline.share_cache(root, tree)
    pipeline.checkout(tree)
    for splits in sorted(root.glob(SPLITS)):
        if not (tree / (name := splits.relative_to(root))).exists():
            problem = f"{name} is not in git, so a run in a worktree would split the photos differently"
            raise SadclError(problem, where=root, fix="Commit it")
    for path in pipeline.missing(tree):
        raise _absent(root, path)


def _absent(root: Path, path: str) -> SadclError:
    """Error for a dependency that a worktree lacks: it has only files that git or DVC track."""
    tracked = f"{path}.dvc"
    if not git(root, "ls-files", "--", tracked).strip() and (root / path).exists():
        return SadclError(
            f"Neither git nor DVC tracks {path}, so a run in a worktree lacks it",
            where=root,
            fix=f"Run `dvc add {path}` (on the files, not on a link to them) and commit {tracked}",
        )
    return SadclError(
        f"{path} is in neither git nor DVC's cache, so a run in a worktree lacks it",
        where=root,
        fix="Run `dvc pull`, or commit it",
    )


def _remove_leftovers(root: Path) -> None:
    """Remove worktrees that no process has locked."""
    for folder in (root / layout.WORKTREES).glob("*"):
        try:
            with files.lock(folder / "lock", "working in this worktree"):
                git(root, "worktree", "remove", "--force", str(folder), check=False)
        except SadclError:
            continue
    git(root, "worktree", "prune", check=False)


def _free_branch(root: Path, name: str) -> str:
    branches = set(git(root, "for-each-ref", "--format=%(refname:short)", "refs/heads").split())
    candidates = (name if i == 1 else f"{name}-{i}" for i in range(1, len(branches) + 2))
    return next(candidate for candidate in candidates if candidate not in branches)


def _identity(root: Path) -> list[str]:
    """Options of git that set an author, if the machine has none."""
    if git(root, "config", "user.email", check=False).strip() or os.environ.get("GIT_AUTHOR_EMAIL"):
        return []
    return ["-c", "user.name=sadcl", "-c", "user.email=sadcl@localhost"]
