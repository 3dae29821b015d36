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
def nested_folder(tmp_path: Path) -> Path:
    """An empty folder two levels below the top of a repository."""
    folder = tmp_path / "all code" / "ml" / "tagger"
    folder.mkdir(parents=True)
    git(tmp_path / "all code", "init", "--quiet")
    return folder


def test_a_project_below_the_top(nested_folder: Path) -> None:
    assert "Created a project" in pipeline.start(nested_folder)
    assert repository.find(nested_folder) == repository.Repository(nested_folder.parents[1], Path("ml/tagger"))
    assert repository.problems(nested_folder) == []
    assert not (nested_folder / ".git").exists()


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
def test_rules_above_a_project_hide_none_of_its_files(nested_folder: Path, rules: str) -> None:
    (nested_folder.parents[1] / ".gitignore").write_text(f"{rules}\n")
    pipeline.start(nested_folder)
    tracked = [path.replace("*", "x") for path in repository.TRACKED]
    for path in tracked:
        (nested_folder / path).parent.mkdir(parents=True, exist_ok=True)
        (nested_folder / path).touch()
    for path in (".sadcl/team/administrator.json", "data/champion/weights.safetensors"):
        (nested_folder / path).parent.mkdir(parents=True, exist_ok=True)
        (nested_folder / path).touch()
    assert repository.problems(nested_folder) == []
    git(nested_folder, "add", ".")
    added = git(nested_folder, "ls-files").splitlines()
    assert set(tracked) <= set(added)
    assert not [path for path in added if path.startswith((".sadcl", "data/champion/"))]
    assert pipeline.start(nested_folder) == ""


def test_an_update_mends_a_rule_that_came_later(nested_folder: Path) -> None:
    pipeline.start(nested_folder)
    (nested_folder.parents[1] / ".gitignore").write_text("data/\n")
    (problem,) = repository.problems(nested_folder)
    assert problem.startswith("git ignores data/accepted.json, data/champion.json by a rule (.gitignore:1:data/)")
    assert pipeline.start(nested_folder) == f"Completed {nested_folder / '.gitignore'}"
    assert repository.problems(nested_folder) == []


@pytest.mark.parametrize("rule", ["/tagger/", "*"])
def test_a_project_in_an_ignored_folder_gets_a_repository_of_its_own(nested_folder: Path, rule: str) -> None:
    (nested_folder.parent / ".gitignore").write_text(f"{rule}\n")
    assert f"a git repository of its own, because git ignores the folder by a rule (ml/.gitignore:1:{rule})" in (
        pipeline.start(nested_folder)
    )
    assert repository.problems(nested_folder) == []
    shutil.rmtree(nested_folder / ".git")
    assert repository.problems(nested_folder) == [
        f"git ignores the project's folder by a rule (ml/.gitignore:1:{rule}), so nothing can be committed; "
        "change the rule, or run `git init` here for a repository of its own."
    ]


def test_rules_that_a_person_wrote_in_other_words_are_not_repeated(nested_folder: Path) -> None:
    (nested_folder / ".gitignore").write_text(".sadcl\n.venv\n")
    pipeline.start(nested_folder)
    assert not {"/.sadcl/", "/.venv/"} & set((nested_folder / ".gitignore").read_text().splitlines())


def test_a_file_that_git_tracks_already_is_not_ignored(nested_folder: Path) -> None:
    (nested_folder / "data").mkdir()
    (nested_folder / "data/champion.json").touch()
    git(nested_folder, "add", ".")
    (nested_folder.parents[1] / ".gitignore").write_text("data/\n")
    assert "data/champion.json" not in repository.ignored(nested_folder, ["data/champion.json", "data/accepted.json"])


def test_an_author_from_settings_or_environment(nested_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    assert not repository.has_identity(nested_folder)
    assert any("commit as sadcl@localhost" in line for line in repository.notes(nested_folder))
    git(nested_folder, "config", "user.email", "me@home")
    assert not repository.has_identity(nested_folder)  # without a name, git refuses to commit on some hosts
    git(nested_folder, "config", "user.name", "Me")
    assert repository.has_identity(nested_folder)
    git(nested_folder, "config", "--unset", "user.name")
    for variable in ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"):
        monkeypatch.setenv(variable, "Me")
    assert repository.has_identity(nested_folder)
