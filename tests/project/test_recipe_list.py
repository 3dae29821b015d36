"""List of recipes: figures of each network, memory against the machine's, and what happens to damaged files."""

from pathlib import Path

import pytest

from sadcl import params
from sadcl.model.network_size import NetworkSize, network_size
from sadcl.params import recipes
from sadcl.project import recipe_list
from tests.paths import REPOSITORY

NAME = "coco2014-tresnet_l-448-mldecoder"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two recipes, the longest name among them."""
    (tmp_path / "recipes").mkdir()
    (tmp_path / ".sadcl").mkdir()
    for name in ("demo", NAME):
        (tmp_path / f"recipes/{name}.yaml").write_bytes((REPOSITORY / f"recipes/{name}.yaml").read_bytes())
    monkeypatch.setattr(recipes, "PACKAGED", tmp_path / "none")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def row(name: str) -> list[str]:
    lines = list(recipe_list.describe())
    assert max(map(len, lines)) <= 80
    [match] = [line for line in lines if line.startswith(f"{name} ")]
    return match.split()


def test_a_row_has_the_figures_of_the_recipe(folder: Path) -> None:
    assert row(NAME)[:8] == [NAME, "90.0", "51.3", "M", "36.2", "G", "16.8", "GB"]
    assert row("demo")[1] == "-"
    assert "  ML-Decoder on TResNet-L, 448 px, COCO 2014." in list(recipe_list.describe())


def test_a_long_name_has_a_line_of_its_own(folder: Path) -> None:
    name = "photos-of-our-greenhouse-with-every-label"
    (folder / f"recipes/{name}.yaml").write_bytes((folder / "recipes/demo.yaml").read_bytes())
    lines = list(recipe_list.describe())
    assert lines[lines.index(name) + 1].split() == row("demo")[1:]


def test_figures_follow_the_settings(folder: Path) -> None:
    before, path = row(NAME), folder / f"recipes/{NAME}.yaml"
    path.write_text(path.read_text().replace("side: 448", "side: 224"))
    after = row(NAME)
    assert before[2] == after[2]
    assert float(after[4]) < float(before[4]) / 3
    assert float(after[6]) < float(before[6]) / 2


def test_a_batch_beyond_the_machines_memory_is_too_large(folder: Path) -> None:
    assert row("demo")[-1] == "fits"
    path = folder / "recipes/demo.yaml"
    path.write_text(path.read_text().replace("  batch: 50", "  batch: 50000000"))
    assert row("demo")[-2:] == ["too", "large"]


@pytest.mark.parametrize("data", [b"a: [", b"", b"seed: 1", b"\xff\xfe\x00", b"# x: \xe9t\xe9\nseed: 1"])
def test_a_recipe_that_is_invalid_is_named_and_the_others_are_listed(folder: Path, data: bytes) -> None:
    (folder / "recipes/broken.yaml").write_bytes(data)
    (folder / "recipes/folder.yaml").mkdir()
    lines = list(recipe_list.describe())
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("folder: can't be used. ") for line in lines)
    assert any(line.startswith("broken: can't be used. ") for line in lines)
    assert any(line.startswith(f"{NAME} ") for line in lines)


def test_a_network_that_does_not_exist_is_named(folder: Path) -> None:
    path = folder / "recipes/demo.yaml"
    path.write_text(path.read_text().replace("tf_efficientnet_lite0", "tf_efficientnet_lite00"))
    assert "demo: can't be used. timm has no network" in " ".join(recipe_list.describe())


def test_cached_sizes_that_are_damaged_are_computed_again(folder: Path) -> None:
    (folder / f"recipes/{NAME}.yaml").unlink()
    expected, sizes = row("demo"), folder / recipe_list.SIZES
    stored = sizes.read_text()
    for text in ("{", "[]", '{"a": 1}', '{"a": {"b": 2}}'):
        sizes.write_text(text)
        assert row("demo") == expected
        assert sizes.read_text() == stored


def test_memory_is_that_of_weights_states_and_what_a_step_keeps() -> None:
    size = NetworkSize(parameters=10, learning=8, multiply_adds=0, activations=100)
    assert size.training_bytes(3, "32-true") == 8 * 20 + 2 * 8 + 300
    assert size.training_bytes(3, "16-mixed") == 8 * 20 + 2 * 8 + 150 + 20


def test_multiply_adds_are_those_of_the_literature() -> None:
    """Published: 7.8 G for ResNet-101 at 224 px; a linear map for each class comes on top."""
    model = params.load(path=REPOSITORY / "recipes/coco2014-r101-448.yaml").model
    size = network_size(model.model_copy(update={"head": "pooling", "side": 224}), 80)
    assert size.multiply_adds == pytest.approx(7.8e9, rel=0.01)
    assert size.parameters == 42_500_160 + 2048 * 80 + 80
