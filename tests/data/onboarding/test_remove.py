"""`sadcl data remove`: what `sadcl data add` wrote goes, and nothing that is stored nowhere else."""

import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sadcl import pipeline
from sadcl.cli import app
from sadcl.data.onboarding.add import add
from sadcl.data.onboarding.remove import plan, remove
from sadcl.errors import SadclError
from tests.data.onboarding.folders import labels_column


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Photos outside a project that has taken them in; the project is the working directory."""
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    source = labels_column(tmp_path / "source", ("cup", "plate", "bowl"))
    add(source, "mine")
    return source


def entries() -> set[str]:
    return {str(path) for path in Path().rglob("*") if not {".git", "cache", "tmp"} & set(path.parts)}


def git(*words: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    return subprocess.run(["git", *identity, *words], check=True, capture_output=True, text=True).stdout


def test_a_removed_source_can_be_added_anew(source: Path) -> None:
    added = entries()
    Path("data/raw/mine.splits.csv").write_text("image_id,split\n")
    (line, *_) = remove(plan("mine"))
    assert "data/raw/mine, data/raw/mine.dvc, data/raw/mine.splits.csv, params.yaml, recipes/mine.yaml" in line
    assert not list(Path("data/raw").iterdir())
    assert not list(Path("recipes").iterdir())
    assert (source / "0.jpg").exists()
    with pytest.raises(SadclError, match="no source 'mine'"):
        plan("mine")
    add(source, "mine")
    assert entries() == added


def test_settings_of_their_own_and_a_second_source_stay(source: Path) -> None:
    Path("params.yaml").write_text(Path("params.yaml").read_text() + "# mine\n")
    add(source, "other")
    assert "params.yaml stays" in " ".join(remove(plan("mine")))
    assert Path("params.yaml").exists()
    assert Path("data/raw/other.dvc").exists()
    assert Path("data/raw/.gitignore").read_text() == "/other\n"


def test_an_interrupted_removal_is_completed(source: Path) -> None:
    shutil.rmtree("data/raw/mine")
    remove(plan("mine"))
    assert not list(Path("data/raw").iterdir())


def test_a_folder_that_cannot_be_removed_keeps_its_record(source: Path) -> None:
    removal, folder = plan("mine"), Path("data/raw/mine")
    folder.rename("elsewhere")
    folder.symlink_to("../../elsewhere")  # which Python refuses to remove as a folder
    before = entries()
    with pytest.raises(SadclError, match=r"The folder can't be removed.*data/raw/mine"):
        remove(removal)
    assert entries() == before
    assert {"data/raw/mine.dvc", "recipes/mine.yaml", "elsewhere/0.jpg"} <= before


def test_what_neither_git_nor_dvc_has_is_not_removed(source: Path) -> None:
    git("add", "--all")
    git("commit", "--message", "photos")
    recipe = Path("recipes/mine.yaml").read_text()

    def refused(words: str) -> None:
        before = entries()
        with pytest.raises(SadclError, match=words):
            plan("mine")
        assert entries() == before

    Path("recipes/mine.yaml").write_text(recipe + "# tuned\n")
    refused(r"recipes/mine\.yaml has changes that git has not.*Commit them")
    Path("recipes/mine.yaml").write_text(recipe)
    Path("recipes/twin.yaml").write_text(recipe)
    refused(r"Another recipe reads the source: twin\.yaml")
    Path("recipes/twin.yaml").unlink()
    (Path("data/raw/mine") / "new.jpg").write_bytes(b"new")
    refused(r"changed since DVC stored it .*dvc add data/raw/mine")
    (Path("data/raw/mine") / "new.jpg").unlink()
    record = Path("data/raw/mine.dvc").read_bytes()
    Path("data/raw/mine.dvc").unlink()
    refused("DVC does not track the folder")
    Path("data/raw/mine.dvc").write_bytes(record)
    remove(plan("mine"))
    git("checkout", "--", ".")
    pipeline.checkout()
    assert (Path("data/raw/mine") / "0.jpg").exists()


def test_a_removal_is_confirmed(source: Path) -> None:
    runner, before = CliRunner(), entries()
    result = runner.invoke(app, ["data", "remove", "mine"])
    assert isinstance(result.exception, SadclError)
    assert "Nobody has confirmed" in str(result.exception)
    assert "This removes data/raw/mine" in result.output
    assert entries() == before
    assert runner.invoke(app, ["data", "remove", "mine", "--yes"]).exit_code == 0
    assert not Path("data/raw/mine").exists()
