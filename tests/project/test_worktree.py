"""Worktrees of scheduled runs: untracked data is an error, and runs commit their results only."""

from datetime import date
from pathlib import Path

import pytest

from sadcl import pipeline
from sadcl.errors import SadclError
from sadcl.project import worktree
from sadcl.pipeline.repository import git

DAY = date(2026, 11, 23)
AUTHOR = ("-c", "user.name=tester", "-c", "user.email=tester@localhost")


def save(project: Path) -> None:
    git(project, "add", "--all")
    git(project, *AUTHOR, "commit", "--quiet", "--message", "as it stands")


def refused(project: Path, message: str) -> None:
    """Check that a worktree ends in an error, and that neither folder nor branch remains."""
    with pytest.raises(SadclError, match=message), worktree.temporary_worktree(project, "retrain", DAY):
        pass
    assert len(git(project, "worktree", "list").splitlines()) == 1
    assert git(project, "branch", "--format=%(refname:short)").split() == ["main"]
    assert not list((project / ".sadcl/worktrees").iterdir())


@pytest.mark.parametrize("linked", [True, False])
def test_untracked_source(project: Path, linked: bool) -> None:
    (project / "source.txt.dvc").unlink()
    if linked:
        (project / "source.txt").rename(project.parent / "elsewhere.txt")
        (project / "source.txt").symlink_to("../elsewhere.txt")
    save(project)
    refused(project, r"tracks source\.txt, so.*`dvc add source\.txt`.*commit source\.txt\.dvc")


def test_uncommitted_dvc_file(project: Path) -> None:
    git(project, "rm", "--quiet", "--cached", "source.txt.dvc")
    git(project, *AUTHOR, "commit", "--quiet", "--message", "forgotten")
    refused(project, r"tracks source\.txt, so.*commit source\.txt\.dvc")


def test_source_that_was_never_pulled(project: Path) -> None:
    for path in (project / ".dvc/cache").rglob("*"):
        if path.is_file():
            path.chmod(0o644)
            path.unlink()
    refused(project, r"source\.txt is in neither git nor DVC's cache.*`dvc pull`")


def test_outputs_of_stages_are_not_missing(project: Path) -> None:
    assert pipeline.missing(project) == []
    with worktree.temporary_worktree(project, "retrain", DAY) as tree:
        assert not (tree.root / "ingest.txt").exists()


def test_splits_have_to_be_in_git(project: Path) -> None:
    splits = project / "data/raw/mine.splits.csv"
    splits.parent.mkdir(parents=True)
    splits.write_text("file,split\n")
    refused(project, r"data/raw/mine\.splits\.csv is not in git.*Commit it")
    assert worktree.commit(project, "splits", only=[worktree.SPLITS, "absent"])
    with worktree.temporary_worktree(project, "retrain", DAY) as tree:
        (tree.root / "data/raw/new.splits.csv").write_text("file,split\n")
        assert worktree.commit(tree.root, "a run")
        assert "data/raw/new.splits.csv" in git(tree.root, "ls-files")
