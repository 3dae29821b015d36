"""Who is champion, and whether its files are the ones that were promoted."""

import json

import pytest

from sadcl import SadclError, files
from sadcl.evaluation.gate import champion

NAMED = {"name": "scenes-production", "version": "3", "weights": "0" * 64, "test": "cd"}


def put(folder, value):
    path = folder / "champion.json"
    path.write_text(json.dumps(value))
    return path


@pytest.fixture
def promoted_champion(tmp_path):
    for name in ("weights.safetensors", "scores.parquet"):
        (tmp_path / name).write_bytes(name.encode())
    return champion.Champion(
        "scenes-production", "3",
        weights=files.digest(tmp_path / "weights.safetensors"),
        scores=files.digest(tmp_path / "scores.parquet"),
    )  # fmt: skip


def test_null_is_nobody(tmp_path):
    assert champion.read_champion(put(tmp_path, None)) is None


def test_a_champion_is_read_and_named(tmp_path):
    parsed = champion.read_champion(put(tmp_path, {**NAMED, "scores": "1" * 64, "challenger": "models:/scenes/7"}))
    assert parsed == champion.Champion("scenes-production", "3", "0" * 64, "1" * 64, "cd")
    assert str(parsed) == "scenes-production version 3"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([], "null or a champion"),
        ("x", "null or a champion"),
        ({}, "no name and no version and no weights"),
        ({**NAMED, "weights": None}, "no weights"),
        ({**NAMED, "weights": "abc"}, "sha256"),
        ({**NAMED, "weights": 5}, "sha256"),
        ({**NAMED, "scores": "../../etc/passwd"}, "sha256"),
    ],
)
def test_what_names_no_champion_is_refused(tmp_path, value, words):
    with pytest.raises(SadclError, match=words) as caught:
        champion.read_champion(put(tmp_path, value))
    assert "sadcl sync" in str(caught.value)


def test_a_missing_or_broken_file_is_not_nobody(tmp_path):
    with pytest.raises(SadclError, match="missing"):
        champion.read_champion(tmp_path / "champion.json")
    (tmp_path / "champion.json").write_text("nul")
    with pytest.raises(SadclError, match="not JSON"):
        champion.read_champion(tmp_path / "champion.json")


def test_files_with_the_promoted_digests_are_given(tmp_path, promoted_champion):
    assert champion.weights_file(promoted_champion, tmp_path) == tmp_path / "weights.safetensors"


def test_one_changed_byte_is_another_model(tmp_path, promoted_champion):
    (tmp_path / "weights.safetensors").write_bytes(b"Weights.safetensors")
    with pytest.raises(SadclError, match="not the weights of the champion"):
        champion.weights_file(promoted_champion, tmp_path)


def test_a_missing_file_says_how_to_get_it(tmp_path, promoted_champion):
    (tmp_path / "weights.safetensors").unlink()
    with pytest.raises(SadclError, match="missing") as caught:
        champion.weights_file(promoted_champion, tmp_path)
    assert "dvc pull" in str(caught.value)
