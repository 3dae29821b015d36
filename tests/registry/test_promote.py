"""Who becomes champion, who does not, and the way back."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sadcl import files
from sadcl.errors import SadclError
from sadcl.project.overview import describe_registry
from sadcl.registry import artifacts, lookup
from sadcl.registry.audit import log, verify
from sadcl.registry.client import connect
from sadcl.registry.promote import promote, reject, rollback
from sadcl.registry.publish import publish
from sadcl.registry.status import status
from sadcl.registry.sync import sync

Stages = Callable[..., None]


def holders() -> dict[str, str | None]:
    """Version that has each alias."""
    with connect() as client:
        versions = {
            "challenger": lookup.version_with_alias(client, "tiny", "challenger"),
            "champion": lookup.version_with_alias(client, "tiny-production", "champion"),
            "previous": lookup.version_with_alias(client, "tiny-production", "previous"),
        }
    return {alias: None if version is None else str(version.source) for alias, version in versions.items()}


def stored_file(version: int, file: str) -> Path:
    """Where the registry stores a file of a version."""
    with connect() as client:
        model = Path(client.get_model_version_download_uri("tiny", str(version)))
        run = Path(client.get_run(client.get_model_version("tiny", str(version)).run_id).info.artifact_uri)
    return next(path for folder in (model, run) for path in folder.rglob(file))


def test_a_promotion_moves_alias_files_and_audit(registered: Path) -> None:
    champion = promote("1", "the first of all", first=True)
    assert (champion.name, champion.version, champion.source) == ("tiny-production", "1", "models:/tiny/1")
    assert holders() == {"challenger": None, "champion": "models:/tiny/1", "previous": None}
    named = files.read_json("data/champion.json")
    assert named == {
        "name": "tiny-production", "version": "1", "challenger": "models:/tiny/1", "test": "1" * 64,
        "weights": files.digest("models/train/weights.safetensors"), "scores": files.digest("reports/scores.parquet"),
        "audit": verify.newest(),
    }  # fmt: skip
    assert files.digest("data/champion/weights.safetensors") == named["weights"]
    assert files.digest("data/champion/scores.parquet") == named["scores"]
    assert Path("data/champion.dvc").is_file()
    [line] = log.entries()
    assert (line["action"], line["reason"], line["user"]) == ("promote", "the first of all", "Ann <ann@example.org>")
    assert sync() is False


def test_the_next_champion_and_back_again(promoted: Path) -> None:
    promote(2, "better")
    assert holders() == {"challenger": None, "champion": "models:/tiny/2", "previous": "models:/tiny/1"}
    back = rollback("it tags kites as cats")
    assert back.source == "models:/tiny/1"
    assert holders() == {"challenger": None, "champion": "models:/tiny/1", "previous": "models:/tiny/2"}
    assert files.read_json("data/champion.json")["version"] == "1"
    assert files.digest("data/champion/weights.safetensors") == back.weights
    assert [(line["action"], line["from"], line["to"]) for line in log.entries()] == [
        ("promote", None, "1"),
        ("promote", "1", "2"),
        ("rollback", "2", "1"),
    ]
    assert log.broken() == []
    assert sync() is False


def test_what_is_refused_changes_nothing(promoted: Path, stages: Stages) -> None:
    before, named = holders(), files.read_json("data/champion.json")
    for version, reason, first, words in (
        (2, "  ", False, "needs a reason"),
        (2, "again", True, "There is a champion already"),
        (1, "again", False, "is the champion already"),
        (7, "better", False, "There is no version 7"),
        ("best", "better", False, "A version is a number"),
    ):
        with pytest.raises(SadclError, match=words):
            promote(version, reason, first=first)
    with pytest.raises(SadclError, match="no previous champion"):
        rollback("back")
    with pytest.raises(SadclError, match="needs a reason"):
        rollback("")
    assert (holders(), files.read_json("data/champion.json")) == (before, named)
    assert len(log.entries()) == 1


@pytest.mark.parametrize("verdict", ["fail", "undecided", "refused"])
def test_a_version_is_rejected_whatever_its_verdict(promoted: Path, stages: Stages, verdict: str) -> None:
    before = holders()
    stages(seed=3, verdict=verdict)
    publish()
    assert reject(3, "it tags kites as cats").words.startswith("Version 3 of tiny is rejected.")
    assert holders() == before
    assert (log.entries()[-1]["action"], log.entries()[-1]["challenger"]) == ("reject", "models:/tiny/3")
    assert verify.read_history().problems == []
    with pytest.raises(SadclError, match="rejected by Ann"):
        reject(3, "again")


def test_a_former_champion_that_was_rejected_does_not_come_back(promoted: Path) -> None:
    promote(2, "better")
    reject(1, "it tags kites as cats")
    with pytest.raises(SadclError, match="rejected by Ann"):
        rollback("worse after all")
    assert holders()["champion"] == "models:/tiny/2"


@pytest.mark.parametrize("verdict", ["fail", "refused"])
def test_a_model_that_did_not_pass_is_refused(promoted: Path, stages: Stages, verdict: str) -> None:
    stages(seed=2, verdict=verdict)
    publish()
    with pytest.raises(SadclError, match=f"verdict is {verdict}"):
        promote(2, "I like it")


def test_a_verdict_against_an_earlier_champion_is_refused(promoted: Path, stages: Stages) -> None:
    stages(seed=3)
    publish()
    promote(2, "better")
    with pytest.raises(SadclError, match="champion has changed since"):
        promote(3, "even better")
    stages(seed=3)
    publish()
    assert promote(3, "even better").source == "models:/tiny/3"


def test_nothing_is_promoted_before_anything_is_registered(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SadclError, match="no version 1"):
        promote(1, "why not", first=True)
    with pytest.raises(SadclError, match=r"Nothing is registered yet \(/"):
        promote(1, "why not", root=project / "data")
    monkeypatch.chdir(project / "data")
    with pytest.raises(SadclError, match=rf"\({project}/data\)"):
        promote(1, "why not")


def test_the_first_champion_is_named_as_such(registered: Path) -> None:
    with pytest.raises(SadclError, match="Add --first"):
        promote(1, "why not")
    files.write_json("data/champion.json", {"name": "tiny-production", "version": "4", "weights": "a" * 64})
    with pytest.raises(SadclError, match="names tiny-production version 4"):
        promote(1, "why not", first=True)


@pytest.mark.parametrize(
    ("damage", "file"),
    [
        ("changed", "weights.safetensors"),
        ("gone", "pyfunc_loader.py"),
        ("added", "pyfunc_loader.py"),
        ("changed", "scores.parquet"),
    ],
)
def test_a_version_whose_files_are_not_the_registered_ones_is_refused(promoted: Path, damage: str, file: str) -> None:
    path = stored_file(2, file)
    if damage == "changed":
        path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    elif damage == "gone":
        path.unlink()
    else:
        path = path.with_name("other.py")
        path.write_bytes(b"pass")
    words = {"changed": "has changed since", "gone": "is gone", "added": "was added after"}[damage]
    with pytest.raises(SadclError, match=f"{path.name} {words}"):
        promote(2, "better")
    assert holders()["champion"] == "models:/tiny/1"


def test_going_back_checks_the_files_too(promoted: Path) -> None:
    promote(2, "better")
    first = stored_file(1, "weights.safetensors")
    first.write_bytes(first.read_bytes()[:-1] + b"\xff")
    with pytest.raises(SadclError, match="has changed since"):
        rollback("back")
    assert holders()["champion"] == "models:/tiny/2"


def test_status_is_remembered_until_the_registry_changes(promoted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = status()
    assert status() == first  # a first connection may change the database
    with monkeypatch.context() as patch:
        patch.setattr("sadcl.registry.status.connect", None)  # no question to MLflow
        assert status() == first
    with connect() as client:
        client.delete_registered_model_alias("tiny", "challenger")
    assert status() == {**first, "challenger": None}
    files.write_text(".sadcl/cache/registry.json", "[")
    assert status() == {**first, "challenger": None}


def test_status_says_who_is_who(promoted: Path) -> None:
    now = status()
    assert (now["champion"]["version"], now["champion"]["mAP"], now["champion"]["by"]) == (
        "1", "80.00", "Ann <ann@example.org>",
    )  # fmt: skip
    assert (now["challenger"]["version"], now["challenger"]["mAP"], now["challenger"]["verdict"]) == (
        "2", "81.00", "pass",
    )  # fmt: skip
    champion, challenger = describe_registry()
    assert champion.startswith("Champion: tiny-production version 1, mAP 80.00, since 20")
    assert challenger.startswith(
        "Challenger: tiny version 2, mAP 81.00, verdict pass (its author's claim, not verified yet), since 20"
    )


def test_a_version_without_pins_is_refused(promoted: Path) -> None:
    with connect() as client:
        client.delete_model_version_tag("tiny", "2", artifacts.PINS)
    with pytest.raises(SadclError, match="no pinned digests"):
        promote(2, "better")
