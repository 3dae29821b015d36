"""Creation of a project in an empty folder."""

import shutil
from pathlib import Path

import pytest
import yaml

from sadcl import files, pipeline
from sadcl.errors import SadclError


def test_start_in_a_folder_with_other_files(tmp_path: Path) -> None:
    (tmp_path / "thesis.doc").touch()
    with pytest.raises(SadclError, match=r"not empty: it contains thesis\.doc.*start in an empty one"):
        pipeline.start(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.doc"]


def test_start_next_to_the_photos_to_add_keeps_existing_files(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / ".gitignore").write_text("/mine/\n")
    assert "Created a project" in pipeline.start(tmp_path, besides=[tmp_path / "photos/2026"])
    assert (tmp_path / ".gitignore").read_text().startswith("/mine/\n")
    assert files.read_json(tmp_path / "data/accepted.json") is None
    assert pipeline.start(tmp_path) == ""


def test_an_interrupted_creation_is_completed(tmp_path: Path) -> None:
    pipeline.start(tmp_path)
    config = (tmp_path / ".dvc/config").read_text()
    shutil.rmtree(tmp_path / ".dvc")
    assert "Completed the project" in pipeline.start(tmp_path)
    assert (tmp_path / ".dvc/config").read_text() == config


def test_stages_of_a_new_project_depend_on_digests_of_code(tmp_path: Path) -> None:
    pipeline.start(tmp_path)
    stages = yaml.safe_load((tmp_path / "dvc.yaml").read_text())["stages"]
    assert files.read_json(tmp_path / "sadcl.json")["code"].keys() == stages.keys()
    for name, stage in stages.items():
        assert {"sadcl.json": [f"code.{name}"]} in stage["params"]
        assert not [dep for dep in stage["deps"] if dep.startswith("sadcl/")]


def test_a_new_project_without_settings_is_a_sentence(tmp_path: Path) -> None:
    pipeline.start(tmp_path)
    with pytest.raises(SadclError, match=r"There are no settings .*params\.yaml.*`sadcl data add PATH --name NAME`"):
        pipeline.stale(tmp_path)
