"""A worktree has what git and DVC know of; whatever else a stage reads is missed in words."""

from datetime import date
from pathlib import Path

import pytest

from sadcl import pipeline
from sadcl.errors import SadclError
from sadcl.project import worktree
from sadcl.project.worktree import git

DAY = date(2026, 11, 23)
WHO = ("-c", "user.name=tester", "-c", "user.email=tester@localhost")


def save(project: Path) -> None:
    git(project, "add", "--all")
    git(project, *WHO, "commit", "--quiet", "--message", "as it stands")


def refused(project: Path, words: str) -> None:
    """No worktree is made, and neither folder nor branch is left."""
    with pytest.raises(SadclError, match=words), worktree.temporary_worktree(project, "retrain", DAY):
        pass
    assert len(git(project, "worktree", "list").splitlines()) == 1
    assert git(project, "branch", "--format=%(refname:short)").split() == ["main"]
    assert not list((project / ".sadcl/worktrees").iterdir())


@pytest.mark.parametrize("linked", [True, False])
def test_data_that_dvc_does_not_version_is_named(project: Path, linked: bool) -> None:
    (project / "source.txt.dvc").unlink()
    if linked:
        (project / "source.txt").rename(project.parent / "elsewhere.txt")
        (project / "source.txt").symlink_to("../elsewhere.txt")
    save(project)
    refused(project, r"source\.txt is not versioned.*`dvc add source\.txt`.*commit source\.txt\.dvc")


def test_a_source_whose_dvc_file_is_not_committed_is_named(project: Path) -> None:
    git(project, "rm", "--quiet", "--cached", "source.txt.dvc")
    git(project, *WHO, "commit", "--quiet", "--message", "forgotten")
    refused(project, r"source\.txt is not versioned.*commit source\.txt\.dvc")


def test_data_that_was_never_pulled_is_named(project: Path) -> None:
    for path in (project / ".dvc/cache").rglob("*"):
        if path.is_file():
            path.chmod(0o644)
            path.unlink()
    refused(project, r"source\.txt is neither in git nor in DVC's cache.*`dvc pull`")


def test_what_stages_make_is_not_missed(project: Path) -> None:
    assert pipeline.missing(project) == []
    with worktree.temporary_worktree(project, "retrain", DAY) as tree:
        assert not (tree.root / "ingest.txt").exists()


def test_who_belongs_to_which_split_has_to_be_in_git(project: Path) -> None:
    kept = project / "data/raw/mine.splits.csv"
    kept.parent.mkdir(parents=True)
    kept.write_text("file,split\n")
    refused(project, r"data/raw/mine\.splits\.csv is not in git.*Commit it")
    assert worktree.commit(project, "kept", only=[worktree.SPLITS, "absent"])
    with worktree.temporary_worktree(project, "retrain", DAY) as tree:
        (tree.root / "data/raw/new.splits.csv").write_text("file,split\n")
        assert worktree.commit(tree.root, "a run")
        assert "data/raw/new.splits.csv" in git(tree.root, "ls-files")
