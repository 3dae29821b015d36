"""Selection of a recipe: which files it reads, and what happens to the settings that it replaces."""

from pathlib import Path

import pytest

from sadcl import params, pipeline
from sadcl.errors import SadclError
from sadcl.project import settings
from tests.paths import REPOSITORY


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new project."""
    monkeypatch.chdir(tmp_path)
    pipeline.start(tmp_path)
    return tmp_path


def test_a_new_project_has_the_recipes_of_the_package(folder: Path) -> None:
    assert settings.use_recipe("nuswide-r101-448") == ["params.yaml is now the recipe nuswide-r101-448"]
    assert (folder / "params.yaml").read_bytes() == (REPOSITORY / "recipes/nuswide-r101-448.yaml").read_bytes()
    assert {path.stem for path in (REPOSITORY / "recipes").glob("*.yaml")} <= params.known_recipes(folder).keys()
    assert settings.use_recipe("nuswide-r101-448") == ["params.yaml is the recipe nuswide-r101-448 already"]


def test_a_recipe_of_the_project_replaces_the_packages(folder: Path) -> None:
    recipe = (REPOSITORY / "recipes/scenes.yaml").read_text().replace("seed: ", "seed: 1", 1)
    (folder / "recipes").mkdir()
    (folder / "recipes/demo.yaml").write_text(recipe)
    assert settings.use_recipe("demo") == ["params.yaml is now the recipe demo"]
    assert (folder / "params.yaml").read_text() == recipe
    with pytest.raises(SadclError, match=r"no recipe '\.\./params'.*Choose one of .*demo"):
        settings.use_recipe("../params")


def test_edited_settings_are_saved_before_a_recipe_replaces_them(folder: Path) -> None:
    settings.use_recipe("scenes")
    edited = (folder / "params.yaml").read_text().replace("seed: ", "seed: 1", 1)
    (folder / "params.yaml").write_text(edited)
    saved, selected = settings.use_recipe("demo")
    assert saved.startswith("Saved your own settings to params.")
    assert (folder / saved.split()[-1]).read_text() == edited
    assert selected == "params.yaml is now the recipe demo"
    assert settings.use_recipe("scenes") == ["params.yaml is now the recipe scenes"]
