"""Worktrees of scheduled runs: untracked data is an error, and runs commit their results only."""

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from sadcl import pipeline
from sadcl.errors import SadclError
from sadcl.pipeline import repository
from sadcl.pipeline.repository import git
from sadcl.project import cleanup, worktree

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


def below_the_top(project: Path) -> Path:
    """The project two folders below the top of another repository, whose rules ignore its data and locks."""
    top = project.parent / "all code"
    root = shutil.copytree(project, top / "ml/tagger", symlinks=True)
    shutil.rmtree(root / ".git")
    git(top, "init", "--quiet", "--initial-branch", "main")
    (top / ".gitignore").write_text("data/\n*.lock\n")
    git(top, "add", ".gitignore")
    git(top, *AUTHOR, "commit", "--quiet", "--message", "before there was a project")
    repository.write_ignore_file(root)
    save(top)
    return root


def in_a_submodule(project: Path) -> Path:
    top = project.parent / "top"
    top.mkdir()
    git(top, "init", "--quiet")
    git(top, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(project), "sub")
    shutil.copytree(project / ".dvc/cache", top / "sub/.dvc/cache")
    return top / "sub"


def shallow(project: Path) -> Path:
    clone = project.parent / "clone"
    git(project.parent, "clone", "--quiet", "--depth", "1", f"file://{project}", str(clone))
    shutil.copytree(project / ".dvc/cache", clone / ".dvc/cache")
    return clone


@pytest.mark.parametrize("place", [below_the_top, in_a_submodule, shallow])
def test_a_run_works_wherever_the_project_lies(
    place: Callable[[Path], Path], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine has a git that knows no author, and a hook that fails."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    root = place(project)
    hook = Path(git(root, "rev-parse", "--path-format=absolute", "--git-path", "hooks").strip()) / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    assert repository.problems(root) == []
    with worktree.temporary_worktree(root, "retrain", DAY) as tree:
        pipeline.reproduce("ingest", root=tree.root)
        assert (tree.root / "ingest.txt").read_text() == "source ingest"
        assert worktree.commit(tree.root, "a run")
    prefix = git(root, "rev-parse", "--show-prefix").strip()
    assert f"{prefix}dvc.lock" in git(root, "diff", "--name-only", "HEAD", tree.branch).split()
    assert git(root, "log", "-1", "--format=%an <%ae>", tree.branch).strip() == "sadcl <sadcl@localhost>"
    assert not list((root / ".sadcl/worktrees").iterdir())
    monkeypatch.chdir(root)
    assert "Removed" in cleanup.clean([])


def test_a_project_that_is_not_in_the_commit(project: Path) -> None:
    top = project.parent
    shutil.rmtree(project / ".git")
    git(top, "init", "--quiet", "--initial-branch", "main")
    git(top, *AUTHOR, "commit", "--quiet", "--allow-empty", "--message", "the others")
    refused(project, r"does not have this project: dvc\.yaml is not in it.*Commit the project")


def test_a_project_without_a_repository(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(project / ".git")
    with (
        pytest.raises(SadclError, match=r"is not in a git repository.*Run `git init`"),
        worktree.temporary_worktree(project, "retrain", DAY),
    ):
        pass
    monkeypatch.chdir(project)
    with pytest.raises(SadclError, match=r"in none.*`dvc config core\.no_scm true`"):
        cleanup.clean([])
    (project / ".dvc/config.local").write_text("[core]\n    no_scm = true\n")
    assert "Removed" in cleanup.clean([])


def test_results_that_git_ignores_are_named_with_the_rule(project: Path) -> None:
    (project / "dvc.lock").write_text("schema: '2.0'\n")
    (project / ".git/info/exclude").write_text("*.lock\n")
    with pytest.raises(SadclError, match=r"git ignores dvc\.lock by a rule \(.*exclude:1:\*\.lock\).*`sadcl init`"):
        worktree.commit(project, "a run")


def test_what_a_killed_run_left_goes_and_its_result_stays(project: Path) -> None:
    for number, has_result in enumerate((False, True), 1):
        folder = project / f".sadcl/worktrees/2026-11-2{number}"
        git(project, "worktree", "add", "--quiet", "-b", f"retrain/2026-11-2{number}", str(folder))
        if has_result:
            git(folder, *AUTHOR, "commit", "--quiet", "--allow-empty", "--message", "a result")
    with worktree.temporary_worktree(project, "retrain", DAY) as tree:
        assert [path.name for path in (project / ".sadcl/worktrees").iterdir()] == [tree.root.name]
    assert git(project, "branch", "--format=%(refname:short)").split() == ["main", "retrain/2026-11-22"]


def test_a_leftover_whose_lock_is_refused_stays_and_stops_no_run(project: Path) -> None:
    """The lock of a leftover may belong to another user."""
    leftover = project / ".sadcl/worktrees/2026-11-21/lock"
    leftover.mkdir(parents=True)
    with worktree.temporary_worktree(project, "retrain", DAY) as tree:
        assert tree.root.is_dir()
    assert leftover.is_dir()
