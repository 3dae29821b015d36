"""A project as the stages leave it before ``report``: real shards, scores, figures and verdict, a tiny network."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image

from sadcl import files, params
from sadcl.data import table
from sadcl.data.images.inspect import inspect
from sadcl.data.shards import writer
from sadcl.data.shards.reader import Shards
from sadcl.evaluation import curves, scores, shown_photos
from sadcl.evaluation.gate.verdict import verdict
from sadcl.evaluation.metrics import to_json
from sadcl.model.network import Network
from sadcl.model.tagger import Tagger
from sadcl.weights import checkpoint, loader
from tests.paths import REPOSITORY

RECIPE = REPOSITORY / "recipes/demo.yaml"
HEADER = (
    "epoch,loss,classification,sample_to_sample,prototype_to_sample,lr,"
    "select_mAP_raw,select_mAP_ema,select_mAP,images_per_second\n"
)
SMALLEST = {
    "backbone": "test_efficientnet", "weights": "random", "output_stride": 32, "side": 64, "width": 16, "heads": 2,
    "feedforward": 16, "embedding": 8,
}  # fmt: skip

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Make a project; what a test is not about has a plain value."""
    return lambda *args, **kwargs: project(tmp_path, *args, **kwargs)


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Tagger]:
    """A tiny tagger of the classes that are asked for."""
    return lambda *classes: loader.load_tagger(
        network(tmp_path / "tiny.safetensors", classes or ("cat", "dog", "kite"))
    )


def project(
    root: Path,
    classes: Sequence[str] = ("cat", "dog", "kite"),
    images: Sequence[str] = tuple(f"photo {i}" for i in range(20)),
    published: dict[str, Any] | None = None,
    champion: bool = False,
    no_figures: bool = False,
) -> Path:
    """Write everything that the report reads under ``root``."""
    settings = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))
    settings["gate"]["published"] = published
    files.write_text(root / "params.yaml", yaml.safe_dump(settings))
    truth = scored(root, tuple(classes), images)
    digest = files.digest(network(root / "models/train/weights.safetensors", classes))
    shutil.copytree(root / "models/train", root / "models/served", dirs_exist_ok=True)
    digests = {"weights": digest, "test_list": "1" * 64, "labels": "2" * 64}
    model_scores = scores.Scores(
        **{**vars(truth), "digests": digests, "training_overlap": dict.fromkeys(truth.logits, 0)}
    )
    scores.write_scores(root / "reports/scores.parquet", model_scores)
    champion_scores = vars(scores.empty_scores())
    if champion:
        champion_scores = {**vars(truth), "logits": {"champion": truth.logits["sarl"]}}
    scores.write_scores(root / "reports/champion_scores.parquet", scores.Scores(**champion_scores))
    write_shown_photos(root, model_scores)
    curves.write_tables(root / "reports/plots", model_scores, 0.5)
    write_verdict(root, model_scores, params.Gate(**settings["gate"]), "3" if champion else None, no_figures)
    files.write_json(root / "reports/validation.json", VALIDATION)
    files.write_text(root / "models/pretrain/history.csv", HEADER + "1,0.4,0.4,0,0,0.001,50,40,50,9\n")
    files.write_text(
        root / "models/train/history.csv",
        HEADER + "1,0.5,0.4,5.1,0.2,0.001,60,61,61,9\n2,0.4,0.3,4.8,0.1,0.0001,59,62.5,62.5,9\n",
    )
    return root


def write_shown_photos(root: Path, model_scores: scores.Scores) -> None:
    """Write the photos for the report with maps of the model for use."""
    test, tagger = Shards(root / "data/shards/test"), loader.load_tagger(root / "models/served")
    shown = shown_photos.with_maps(
        shown_photos.choose(model_scores, "sadcl"),
        lambda row: tagger.attention_or_none(test.jpeg(test.ids.index(model_scores.ids[row]))),
    )
    shown_photos.write(root / "reports/shown_photos.safetensors", shown)


def write_verdict(
    root: Path, model_scores: scores.Scores, rules: params.Gate, champion_version: str | None, no_figures: bool
) -> None:
    """Write metrics, with unknown mAP where ``no_figures``, and the gate's verdict on them."""
    figures = {
        name: {**to_json(model_scores.figures(name, 0.5)), "ECE": model_scores.calibration_error(name)}
        for name in model_scores.logits
    }
    if no_figures:
        figures = {name: {**values, "mAP": None} for name, values in figures.items()}
    about = {
        "images": len(model_scores), "classes": len(model_scores.classes), "classes_without_positives": [],
        "chosen": "ema", "threshold": 0.5, "seen_in_training": 0, "device": "cpu (1 thread)",
        "digests": model_scores.digests,
    }  # fmt: skip
    files.write_json(root / "reports/metrics.json", {**figures, **about})
    judged = verdict(rules, 0.5, model_scores, {**figures, **about}, scores.empty_scores(), None)
    models = {
        "model": model_scores.digests["weights"], "champion": "c" * 64 if champion_version else None,
        "champion_version": champion_version,
    }  # fmt: skip
    files.write_json(root / "reports/verdict.json", {**judged, **models})


VALIDATION = {
    "passed": False,
    "images": {"select": 5, "test": 20, "train": 1234},
    "rules": [
        {"rule": "ids unique", "sentence": "Each image has an id of its own.", "status": "passed", "rows": 0,
         "first": []},
        {"rule": "labelled", "sentence": "Each image is labelled.", "status": "failed", "rows": 17,
         "first": ["<b>a.jpg", "b.jpg"]},
        {"rule": "shift", "sentence": "Nothing was accepted yet.", "status": "not applicable", "rows": 0,
         "first": []},
    ],
}  # fmt: skip


def scored(root: Path, classes: tuple[str, ...], images: Sequence[str]) -> scores.Scores:
    """Photos in shards, and scores of them that are mostly right; image by image they get worse."""
    rng = np.random.default_rng(5)
    targets = rng.random((len(images), len(classes))) < 0.4
    targets[:, 0] |= ~targets.any(1)
    for i in range(len(images)):
        picture(root / f"raw/{i}.jpg", i)
    facts = [inspect(root / f"raw/{i}.jpg", 10**8) for i in range(len(images))]
    rows = [
        {
            "image_id": name, "file": f"{i}.jpg", "split": "test", "labels": np.flatnonzero(targets[i]).tolist(),
            "ignored": [], "width": facts[i].width, "height": facts[i].height, "bytes": facts[i].bytes,
            "brightness": 99.0, "sharpness": 9.0, "phash": 1,
            "sha256": facts[i].sha256, "problem": None,
        }
        for i, name in enumerate(images)
    ]  # fmt: skip
    frame = pd.DataFrame({name: table.column([row[name] for row in rows]) for name in rows[0]})
    writer.write_shards(table.Table(frame, classes, "raw", {}), root, root / "data/shards", params.Prepare(), workers=1)
    confident = np.linspace(4, -2, len(images))[:, None] * (2.0 * targets - 1)
    logits = {
        name: (confident + rng.normal(0, noise, confident.shape)).astype(np.float32)
        for name, noise in (("sadcl", 0.1), ("sadcl_other", 1), ("sarl", 2), ("probe", 8))
    }
    shas = [fact.sha256 or "" for fact in facts]
    return scores.Scores(list(images), shas, classes, targets, np.zeros_like(targets), logits=logits)


def picture(path: Path, seed: int = 0, size: tuple[int, int] = (80, 60)) -> Path:
    """A photo of coarse coloured squares."""
    path.parent.mkdir(parents=True, exist_ok=True)
    squares = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(squares).resize(size, Image.Resampling.NEAREST).save(path)
    return path


def network(path: Path, classes: Sequence[str]) -> Path:
    """Weights of the smallest network there is."""
    model = params.Model(**{**yaml.safe_load(RECIPE.read_text(encoding="utf-8"))["model"], **SMALLEST})
    torch.manual_seed(1)
    state = Network(model, len(classes), start=False).state_dict()
    head = {
        "stage": "train", "classes": list(classes), "model": model.model_dump(mode="json"), "seed": 2307, "epoch": 2,
        "preprocessing": {"side": model.side, "mean": list(model.mean), "std": list(model.std)}, "best": "ema",
        "select": {"ema": 62.5, "raw": 59.0}, "device": "cpu (1 thread)", "precision": "32-true",
    }  # fmt: skip
    checkpoint.save(path, {f"ema.network.{name}": tensor.clone() for name, tensor in state.items()}, head)
    return path
