"""``sadcl predict``: a line for each photo, photos of one name distinguished, and all maps written."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sadcl.cli import app
from tests.report.conftest import network, picture

CLASSES = ("cup", "猫", "👩\u200d🍳", "x" * 260, "red\x1b[31m\u202e", "a/b", "a:b")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return network(tmp_path / "model/weights.safetensors", CLASSES)


def predict(model: Path, *words: str | Path) -> Result:
    return CliRunner().invoke(app, ["predict", "--model", str(model), *map(str, words)], catch_exceptions=False)


def test_photos_of_one_name_are_distinguished_in_lines_and_maps(model: Path, tmp_path: Path) -> None:
    photos = [picture(tmp_path / f"photos/{folder}/1.png", seed) for seed, folder in enumerate("ab")]
    result = predict(model, *photos, "--threshold", "0", "--attention", tmp_path / "maps")
    assert result.exit_code == 0
    assert [line.partition(": ")[0] for line in result.stdout.splitlines()] == ["a/1.png", "b/1.png"]
    names = [path.name for path in (tmp_path / "maps").iterdir()]
    assert len({name.lower() for name in names}) == 2 * len(CLASSES)
    assert sum(name.startswith("a_1-") for name in names) == sum(name.startswith("b_1-") for name in names)


def test_json_has_the_whole_names_and_the_path_of_each_map(model: Path, tmp_path: Path) -> None:
    photo = picture(tmp_path / "1.png")
    result = predict(model, photo, "--threshold", "0", "--attention", tmp_path / "maps", "--json")
    value = json.loads(result.stdout)
    assert value["photo"] == str(photo)
    assert {entry["label"] for entry in value["labels"]} == set(CLASSES)
    assert {Path(entry["map"]) for entry in value["labels"]} == set((tmp_path / "maps").iterdir())
    assert "map" not in json.loads(predict(model, photo, "--threshold", "0", "--json").stdout)["labels"][0]


def test_a_photo_without_labels_is_a_plain_line_and_leaves_no_folder(model: Path, tmp_path: Path) -> None:
    photo = picture(tmp_path / "1.png")
    result = predict(model, photo, "--threshold", "1", "--attention", tmp_path / "maps")
    assert (result.exit_code, result.stdout) == (0, "1.png: no label\n")
    assert not (tmp_path / "maps").exists()


def test_names_cant_move_the_cursor_and_other_scripts_stay(model: Path, tmp_path: Path) -> None:
    printed = predict(model, picture(tmp_path / "a\nb.png"), "--threshold", "0").stdout
    assert printed.startswith("a\\nb.png: ")
    assert "\x1b" not in printed
    assert "\u202e" not in printed
    assert "猫" in printed
    assert "👩\u200d🍳" in printed
