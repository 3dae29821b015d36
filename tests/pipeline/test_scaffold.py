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


@pytest.mark.parametrize("writes", range(4))
def test_a_creation_that_a_full_disk_ended_is_completed(
    tmp_path: Path, writes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The creation ends after this number of files; the message advises to run it again."""
    interrupted, undisturbed = tmp_path / "interrupted", tmp_path / "undisturbed"
    interrupted.mkdir()
    undisturbed.mkdir()
    write, count = files.write_text, 0

    def fail(path: Path, text: str) -> None:
        nonlocal count
        count += 1
        if count > writes:
            raise SadclError("The disk is full")
        write(path, text)

    with monkeypatch.context() as full:
        full.setattr(files, "write_text", fail)
        with pytest.raises(SadclError, match="The disk is full"):
            pipeline.start(interrupted)
    for folder in (interrupted, undisturbed):
        pipeline.start(folder)
    for name in ("dvc.yaml", "sadcl.json", ".dvc/config", "data/accepted.json", "data/champion.json"):
        assert (interrupted / name).read_bytes() == (undisturbed / name).read_bytes()


def test_files_of_others_are_not_opened(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/accepted.json").symlink_to("nowhere")
    with pytest.raises(SadclError, match="not empty: it contains data"):
        pipeline.start(tmp_path)


def test_an_update_that_was_interrupted_is_completed(tmp_path: Path) -> None:
    pipeline.start(tmp_path)
    code = files.read_json(tmp_path / "sadcl.json")
    files.write_json(tmp_path / "sadcl.json", {"code": {}, "graph": "0" * 64})
    assert "Updated the stages" in pipeline.start(tmp_path)
    assert files.read_json(tmp_path / "sadcl.json") == code


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
