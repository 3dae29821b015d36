"""The alias is the truth: files, audit and other aliases are repaired from it."""

import shutil
from pathlib import Path

import pytest

from sadcl import files, pipeline
from sadcl.errors import SadclError
from sadcl.project.overview import describe_registry
from sadcl.registry import lookup
from sadcl.registry.audit import log
from sadcl.registry.client import connect
from sadcl.registry.promote import promote
from sadcl.registry.sync import sync


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


def champion_files() -> dict[str, bytes]:
    """The champion's files, byte for byte."""
    paths = [path for path in Path("data").rglob("*") if path.is_file()]
    return {str(path): path.read_bytes() for path in paths}


def test_damage_to_the_files_is_repaired(promoted: Path) -> None:
    whole = champion_files()
    assert sync() is False
    for damage in (
        lambda: shutil.rmtree("data/champion"),
        lambda: files.write_text("data/champion/weights.safetensors", "something else"),
        lambda: Path("data/champion.json").unlink(),
        lambda: files.write_text("data/champion.json", "<<<<<<< HEAD\n{}\n=======\n"),
        lambda: files.write_text("data/champion.json", "[1]"),
        lambda: Path("data/champion.dvc").unlink(),
        lambda: Path("data/audit.jsonl").unlink(),
    ):
        damage()
        assert sync() is True
        assert champion_files() == whole
        assert sync() is False


@pytest.mark.parametrize("step", ["before the alias", "before the files", "before DVC", "before the JSON"])
def test_a_promotion_killed_anywhere_is_finished_or_never_happened(
    promoted: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise Killed

    from mlflow import MlflowClient

    places = {
        "before the alias": (MlflowClient, "set_registered_model_alias"),
        "before the files": (files, "atomic_directory"),
        "before DVC": (pipeline, "add"),
        "before the JSON": (files, "write_json"),
    }
    with monkeypatch.context() as patch:
        patch.setattr(*places[step], killed)
        with pytest.raises(Killed):
            promote(2, "better")
    if step == "before the alias":
        assert sync() is False
        assert files.read_json("data/champion.json")["version"] == "1"
        assert promote(2, "better").version == "2"
    else:
        assert sync() is True
    assert files.read_json("data/champion.json")["version"] == "2"
    assert [line["to"] for line in log.entries()] == ["1", "2"]
    with connect() as client:
        assert len(lookup.list_versions(client, "tiny-production")) == 2
        assert lookup.version_with_alias(client, "tiny-production", "previous").version == 1
        assert lookup.version_with_alias(client, "tiny", "challenger") is None
    assert sync() is False


def test_a_project_is_repaired_from_another_folder(
    promoted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write_json("data/champion.json", None)
    monkeypatch.chdir(tmp_path)
    assert sync(promoted) is True
    assert files.read_json(promoted / "data/champion.json")["version"] == "1"
    assert list(tmp_path.iterdir()) == []


def test_an_alias_moved_by_hand_is_followed_and_noted(promoted: Path) -> None:
    promote(2, "better")
    with connect() as client:
        client.set_registered_model_alias("tiny-production", "champion", "1")
    assert "does not name this version; run `sadcl sync`" in describe_registry()[1]
    assert sync() is True
    assert files.read_json("data/champion.json")["version"] == "1"
    assert log.entries()[-1]["action"] == "found"
    assert sync() is False


def test_a_registry_without_a_champion_takes_nothing_away(registered: Path) -> None:
    named = {"name": "tiny-production", "version": "4", "weights": "a" * 64}
    files.write_json("data/champion.json", named)
    assert sync() is False
    assert files.read_json("data/champion.json") == named
    assert (
        describe_registry()[0] == "data/champion.json names tiny-production version 4, which is not in this registry."
    )


def test_a_project_that_registered_nothing_asks_nobody(project: Path) -> None:
    fresh = project / "data/fresh"
    files.write_text(fresh / "params.yaml", Path("params.yaml").read_text())
    assert sync(fresh) is False
    assert describe_registry(fresh) == ["There is no champion yet.", "There is no challenger."]
    assert not (fresh / ".sadcl").exists()


def test_a_champion_whose_files_are_gone_from_the_registry_is_no_silent_repair(promoted: Path) -> None:
    shutil.rmtree("data/champion")
    shutil.rmtree(".sadcl/mlartifacts")
    with pytest.raises(SadclError, match="of the registry is gone"):
        sync()
    assert not Path("data/champion").exists()
