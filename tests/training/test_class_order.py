"""Names and order of classes travel from the source to the model for use: what was learnt as red is served as red."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import sadcl
from sadcl import params
from sadcl.data.ingest import ingest
from sadcl.data.shards import writer
from sadcl.stages import calibrate, pretrain, prototypes, train
from tests.paths import REPOSITORY

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 220)}
"""In order of their ids (3, 7, 20), which is neither the alphabet's nor the file's."""
IDS = dict(zip(COLOURS, (3, 7, 20), strict=True))
SOURCE = "data/raw/colours"


def photo(name: str, seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).integers(-25, 26, (36, 36, 3))
    return Image.fromarray(np.clip(np.array(COLOURS[name]) + noise, 0, 255).astype(np.uint8))


def write(root: Path, split: str, count: int, start: int) -> None:
    """Photos of one colour each, and their instances JSON."""
    names = [sorted(COLOURS)[i % 3] for i in range(count)]
    (root / SOURCE / split).mkdir(parents=True)
    for i, name in enumerate(names, start):
        photo(name, i).save(root / SOURCE / f"{split}/{i}.png")
    value = {
        "images": [{"id": i, "file_name": f"{i}.png"} for i in range(start, start + count)],
        "annotations": [{"image_id": i, "category_id": IDS[name]} for i, name in enumerate(names, start)],
        "categories": [{"id": IDS[name], "name": name} for name in sorted(COLOURS)],
    }
    (root / SOURCE / f"{split}.json").write_text(json.dumps(value))


def test_a_model_serves_the_classes_it_was_taught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    splits = {"train": 45, "select": 15, "test": 3}
    for i, (split, count) in enumerate(splits.items()):
        write(tmp_path, split, count, 1000 * (i + 1))
    raw = params.read_settings(REPOSITORY / "recipes/demo.yaml")
    raw["model"] |= {"side": 32, "width": 16, "heads": 2, "feedforward": 16, "embedding": 8, "weights": "random"}
    for stage, epochs in (("pretrain", 10), ("train", 1)):
        raw[stage] |= {"epochs": epochs, "batch": 10, "ema_epochs": 1.0, "patience": None, "lr": 0.003}
    raw["ingest"] |= {"annotations": {s: f"{s}.json" for s in splits}, "images": {s: s for s in splits}}
    Path("params.yaml").write_text(yaml.safe_dump(raw))
    settings = params.load()
    table = ingest(tmp_path, SOURCE, settings.ingest, 1, tmp_path / ".sadcl/cache", 1)
    writer.write_shards(table, tmp_path, tmp_path / "data/shards", settings.prepare, 1)
    for stage in (pretrain, prototypes, train, calibrate):
        stage.main()
    model = sadcl.load("models/served")
    assert model.classes == tuple(COLOURS)
    photos = [photo(name, seed) for name in COLOURS for seed in range(5)]
    targets = np.repeat(np.eye(3, dtype=bool), 5, axis=0)
    assert sadcl.evaluate(model.scores(photos), targets)["mAP"] > 90  # columns in another order end below 70
