"""What VOC's evaluation server gets: a file a class, an image and its logit a line."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from sadcl import cli, params
from sadcl.data.sources.voc import CLASSES
from sadcl.errors import SadclError
from sadcl.evaluation import voc_submission
from sadcl.model.network import Network
from sadcl.weights import checkpoint, loader
from tests.paths import REPOSITORY

ORDER = CLASSES[::-1]
"""A model may have VOC's classes in an order of its own."""


def test_each_class_gets_its_own_column() -> None:
    scores = np.arange(40, dtype=np.float32).reshape(2, 20) - 30.5
    submission = voc_submission.submission(["2008_000001", "2008_000002"], scores, ORDER, "comp1")
    assert sorted(submission) == [f"comp1_cls_test_{name}.txt" for name in CLASSES]
    assert submission["comp1_cls_test_tvmonitor.txt"] == "2008_000001 -30.5\n2008_000002 -10.5\n"
    assert submission["comp1_cls_test_aeroplane.txt"] == "2008_000001 -11.5\n2008_000002 8.5\n"


def test_scores_that_differ_stay_apart() -> None:
    close = np.full((2, 20), 17.0, np.float32)
    close[1] = np.nextafter(close[0], np.float32(18))
    first, second = voc_submission.submission(["a", "b"], close, CLASSES, "comp2")["comp2_cls_test_cow.txt"].split(
        "\n"
    )[:2]
    assert float(first.split()[1]) < float(second.split()[1])


def test_models_that_cannot_take_part() -> None:
    with pytest.raises(SadclError, match="no class 'aeroplane'"):
        voc_submission.submission(["a"], np.zeros((1, 2), np.float32), ["airplane", "dog"], "comp2")
    broken = np.zeros((2, 20), np.float32)
    broken[1, 3] = np.nan
    with pytest.raises(SadclError, match="image b"):
        voc_submission.submission(["a", "b"], broken, CLASSES, "comp2")


@pytest.fixture
def model_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny model, three photos and their list."""
    raw: dict[str, Any] = params.read_settings(REPOSITORY / "recipes/demo.yaml")["model"]
    raw |= {"side": 32, "width": 16, "heads": 2, "feedforward": 16, "embedding": 8, "weights": "random"}
    settings = params.Model(**raw)
    torch.manual_seed(1)
    state = Network(settings, len(ORDER), start=False).state_dict()
    tensors = {f"{which}.network.{name}": value.clone() for which in ("ema", "raw") for name, value in state.items()}
    head = {
        "format": 1, "stage": "train", "classes": list(ORDER), "model": settings.model_dump(mode="json"),
        "preprocessing": {"side": 32, "mean": list(settings.mean), "std": list(settings.std)}, "settings": {},
        "epoch": 1, "best": "ema", "select": None, "seen": [], "thresholds": None,
        "calibration": {"slope": [2.0] * 20, "bias": [1.0] * 20}, "inputs": {"train": "a" * 64, "select": "b" * 64},
        "device": "cpu", "precision": "32-true", "seed": 1,
    }  # fmt: skip
    checkpoint.save(tmp_path / "weights.safetensors", tensors, head)
    (tmp_path / "photos").mkdir()
    for i in range(3):
        pixels = np.random.default_rng(i).integers(0, 256, (40, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"photos/2008_00000{i}.jpg")
    (tmp_path / "test.txt").write_text("2008_000002\n2008_000000\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*more: str) -> Any:
    command = ["data", "voc-submission", "test.txt", "photos", "--model", "weights.safetensors", "--out", "out", *more]
    return CliRunner().invoke(cli.app, command)


def test_the_command(model_folder: Path) -> None:
    result = run()
    assert result.exit_code == 0, result.output
    assert "20 files with 2 images each in out" in result.output
    model = loader.load_tagger(model_folder)
    logits = model.logits(["photos/2008_000002.jpg", "photos/2008_000000.jpg"])
    for column, name in enumerate(ORDER):
        lines = (model_folder / f"out/comp2_cls_test_{name}.txt").read_text().splitlines()
        assert [line.split()[0] for line in lines] == ["2008_000002", "2008_000000"]
        assert [float(line.split()[1]) for line in lines] == pytest.approx(logits[:, column].tolist())
    scores = model.scores(["photos/2008_000002.jpg", "photos/2008_000000.jpg"])
    assert scores == pytest.approx(1 / (1 + np.exp(-2 * logits - 1)), abs=1e-6)
    assert run("--competition", "comp1").exit_code == 0
    assert len(list((model_folder / "out").iterdir())) == 20  # an earlier submission is replaced


def test_other_files_are_left_alone(model_folder: Path) -> None:
    (model_folder / "out").mkdir()
    (model_folder / "out/thesis.txt").write_text("years")
    assert isinstance(run().exception, SadclError)
    assert (model_folder / "out/thesis.txt").read_text() == "years"


def test_a_photo_that_is_missing_leaves_nothing(model_folder: Path) -> None:
    (model_folder / "test.txt").write_text("2008_000002\n2008_000009\n")
    result = run()
    assert isinstance(result.exception, SadclError)
    assert "2008_000009" in str(result.exception)
    assert not (model_folder / "out").exists()
