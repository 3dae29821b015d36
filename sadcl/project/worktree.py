"""Git worktrees for scheduled runs, which must not see a person's half-edited files."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from sadcl import files, layout, pipeline
from sadcl.errors import SadclError
from sadcl.pipeline import repository
from sadcl.pipeline.repository import git

SHARED = layout.LOCAL
"""Trainer states, caches, studies and the local registry: all worktrees share them through a link."""

SPLITS = f"{layout.RAW}/*.splits.csv"
"""Splits of sources that come without splits, one file per source."""
RESULTS = ("dvc.lock", "params.yaml", "recipes", str(layout.CHAMPION), f"{layout.CHAMPION_FOLDER}.dvc", SPLITS)
"""Files that a run may add to git; files that git tracks already are committed anyway."""


NO_HOOKS = ("-c", "core.hooksPath=/dev/null")
"""Options of git: hooks check code, and a run changes none."""


@dataclass(frozen=True)
class Worktree:
    """A git worktree on a new branch.

    Attributes:
        root: the project's folder in the worktree.
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
    prefix_of_project = repository.require(root).prefix
    _remove_leftovers(root)
    start = git(root, "rev-parse", "--verify", "--quiet", f"{base}^{{commit}}", check=False).strip()
    if not start:
        problem = f"There is no commit {base}, from which a run in a worktree starts"
        raise SadclError(problem, where=root, fix="Commit the project, or name another commit")
    branch = _free_branch(root, f"{prefix}/{day.isoformat()}")
    folder = root / layout.WORKTREES / branch.removeprefix(f"{prefix}/")
    tree = Worktree(folder / prefix_of_project, branch)
    try:
        git(root, *NO_HOOKS, "worktree", "add", "--quiet", "-b", branch, str(folder), start)
        with files.lock(folder / "lock", "working in this worktree"):
            _require_committed(root, tree.root)
            _populate(root, tree.root)
            yield tree
    finally:
        git(root, "worktree", "remove", "--force", str(folder), check=False)
        if git(root, "rev-parse", "--verify", "--quiet", branch, check=False).strip() == start:
            git(root, "branch", "--quiet", "--delete", "--force", branch, check=False)


def commit(root: Path, message: str, only: Sequence[str] = ()) -> str:
    """Commit the results of a run: changed files that git tracks, and those of ``RESULTS``.

    Where git knows no author, the commit is by ``sadcl@localhost``.

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
        _require_not_ignored(root, paths)
        git(root, "add", "--", *paths)
    limits = ["--only", "--", *paths] if only else []
    if not git(root, "diff", "--cached", "--name-only", *limits[1:]).strip():
        return ""
    identity = () if repository.has_identity(root) else repository.NEUTRAL
    git(root, *NO_HOOKS, *identity, "commit", "--quiet", "--no-verify", "--message", message, *limits)
    return git(root, "rev-parse", "--short", "HEAD").strip()


def _require_committed(root: Path, tree: Path) -> None:
    """Check that the commit of a worktree has the project.

    Raises:
        SadclError: it has not.
    """
    if not (tree / "dvc.yaml").exists():
        problem = "The commit that a run in a worktree starts from does not have this project: dvc.yaml is not in it"
        raise SadclError(problem, where=root, fix="Commit the project")


def _require_not_ignored(root: Path, paths: Sequence[str]) -> None:
    """Check that git does not ignore results.

    Raises:
        SadclError: it ignores one; names the rule.
    """
    for path, rule in repository.ignored(root, paths).items():
        problem = f"git ignores {path} by a rule ({rule}), so the result can't be committed"
        raise SadclError(problem, where=root, fix="Run `sadcl init`, which re-includes it, or change the rule")


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
    """Remove worktrees that no process has locked, and their branches unless these have commits of their own."""
    for folder in (root / layout.WORKTREES).glob("*/"):
        try:
            with files.lock(folder / "lock", "working in this worktree"):
                branch = git(folder, "symbolic-ref", "--quiet", "--short", "HEAD", check=False).strip()
                git(root, "worktree", "remove", "--force", str(folder), check=False)
        except SadclError:  # a process works in it, or its lock is another user's
            continue
        if branch and not folder.exists():
            git(root, "branch", "--quiet", "--delete", branch, check=False)
    git(root, "worktree", "prune", check=False)


def _free_branch(root: Path, name: str) -> str:
    branches = set(git(root, "for-each-ref", "--format=%(refname:short)", "refs/heads").split())
    candidates = (name if i == 1 else f"{name}-{i}" for i in range(1, len(branches) + 2))
    return next(candidate for candidate in candidates if candidate not in branches)
