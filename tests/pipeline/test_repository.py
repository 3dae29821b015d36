"""The repository of a project, wherever people keep one, and files that git must not ignore."""

import shutil
import subprocess
from pathlib import Path

import pytest

from sadcl import pipeline
from sadcl.errors import SadclError
from sadcl.pipeline import repository


def git(root: Path, *words: str) -> str:
    author = ["-c", "user.name=tester", "-c", "user.email=tester@localhost"]
    return subprocess.run(["git", *author, *words], cwd=root, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def below(tmp_path: Path) -> Path:
    """An empty folder two levels below the top of a repository."""
    folder = tmp_path / "all code" / "ml" / "tagger"
    folder.mkdir(parents=True)
    git(tmp_path / "all code", "init", "--quiet")
    return folder


def test_a_project_below_the_top(below: Path) -> None:
    assert "Created a project" in pipeline.start(below)
    assert repository.find(below) == repository.Repository(below.parents[1], Path("ml/tagger"))
    assert repository.problems(below) == []
    assert not (below / ".git").exists()


def test_no_repository_and_a_bare_one_are_a_sentence(tmp_path: Path) -> None:
    assert "is not in a git repository" in repository.problems(tmp_path)[0]
    git(tmp_path, "init", "--quiet", "--bare")
    with pytest.raises(SadclError, match=r"bare git repository.*work in the clone"):
        repository.require(tmp_path)


def test_a_repository_that_git_refuses_is_a_sentence(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    (tmp_path / ".git/config").write_text("[core\n")
    assert "git refuses the repository of this folder: bad config line" in repository.problems(tmp_path)[0]


RULES = ["data/", "data/*", "*.json\n*.csv\n*.dvc", "*.lock\n*.yaml", ".*"]


@pytest.mark.parametrize("rules", RULES)
def test_rules_above_a_project_hide_none_of_its_files(below: Path, rules: str) -> None:
    (below.parents[1] / ".gitignore").write_text(f"{rules}\n")
    pipeline.start(below)
    kept = [path.replace("*", "x") for path in repository.TRACKED]
    for path in kept:
        (below / path).parent.mkdir(parents=True, exist_ok=True)
        (below / path).touch()
    for path in (".sadcl/team/administrator.json", "data/champion/weights.safetensors"):
        (below / path).parent.mkdir(parents=True, exist_ok=True)
        (below / path).touch()
    assert repository.problems(below) == []
    git(below, "add", ".")
    added = git(below, "ls-files").splitlines()
    assert set(kept) <= set(added)
    assert not [path for path in added if path.startswith((".sadcl", "data/champion/"))]
    assert pipeline.start(below) == ""


def test_an_update_mends_a_rule_that_came_later(below: Path) -> None:
    pipeline.start(below)
    (below.parents[1] / ".gitignore").write_text("data/\n")
    (problem,) = repository.problems(below)
    assert problem.startswith("git ignores data/accepted.json, data/champion.json by a rule (.gitignore:1:data/)")
    assert pipeline.start(below) == f"Completed {below / '.gitignore'}"
    assert repository.problems(below) == []


@pytest.mark.parametrize("rule", ["/tagger/", "*"])
def test_a_project_in_an_ignored_folder_gets_a_repository_of_its_own(below: Path, rule: str) -> None:
    (below.parent / ".gitignore").write_text(f"{rule}\n")
    assert f"a git repository of its own, because git ignores the folder by a rule (ml/.gitignore:1:{rule})" in (
        pipeline.start(below)
    )
    assert repository.problems(below) == []
    shutil.rmtree(below / ".git")
    assert repository.problems(below) == [
        f"git ignores the project's folder by a rule (ml/.gitignore:1:{rule}), so nothing can be committed; "
        "change the rule, or run `git init` here for a repository of its own."
    ]


def test_rules_that_a_person_wrote_in_other_words_are_not_repeated(below: Path) -> None:
    (below / ".gitignore").write_text(".sadcl\n.venv\n")
    pipeline.start(below)
    assert not {"/.sadcl/", "/.venv/"} & set((below / ".gitignore").read_text().splitlines())


def test_a_file_that_git_tracks_already_is_not_ignored(below: Path) -> None:
    (below / "data").mkdir()
    (below / "data/champion.json").touch()
    git(below, "add", ".")
    (below.parents[1] / ".gitignore").write_text("data/\n")
    assert "data/champion.json" not in repository.ignored(below, ["data/champion.json", "data/accepted.json"])


def test_an_author_from_settings_or_environment(below: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    assert not repository.has_identity(below)
    assert any("commit as sadcl@localhost" in line for line in repository.notes(below))
    git(below, "config", "user.email", "me@home")
    assert not repository.has_identity(below)  # without a name, git refuses to commit on some hosts
    git(below, "config", "user.name", "Me")
    assert repository.has_identity(below)
    git(below, "config", "--unset", "user.name")
    for variable in ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"):
        monkeypatch.setenv(variable, "Me")
    assert repository.has_identity(below)
