"""evaluate and rescore as stages, on tiny shards and an untrained network: every file that follows from the scores."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image

import sadcl
from sadcl import SadclError, files, params
from sadcl.data import shards, table
from sadcl.data.loading import evaluation_batches
from sadcl.evaluation import metrics, scores, scoring
from sadcl.model import tagger, weights
from sadcl.model.network import Network
from sadcl.stages import evaluate, gate, rescore

RECIPE = Path(__file__).parents[2] / "recipes/demo.yaml"
CLASSES = ("cat", "dog", "cow")
CPU = torch.device("cpu")
MODEL = params.Model(
    backbone="test_resnet", weights="random", output_stride=32, side=64, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5),
    width=16, heads=2, feedforward=16, embedding=8,
)  # fmt: skip


def photos(root, count=12):
    """A table of test photos; the class `cow` is nowhere."""
    rng, rows = np.random.default_rng(0), []
    (root / "raw").mkdir(parents=True)
    for i in range(count):
        file = root / "raw" / f"{i:02d}.png"
        Image.fromarray(rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(file)
        rows.append(
            {
                "image_id": f"{i:02d}", "file": file.name, "split": "test", "labels": [i % 2], "ignored": [],
                "width": 50, "height": 40, "bytes": file.stat().st_size, "sha256": files.digest(file),
                "problem": None, "camera": "left" if i % 3 else "right",
            }
        )  # fmt: skip
    return table.Table(pd.DataFrame(rows), CLASSES, "raw", {})


def save(path, seed, classes=CLASSES, seen=(), **other):
    """Untrained weights; raw and averaged ones differ."""
    tensors = {}
    for which in ("raw", "ema"):
        torch.manual_seed(seed if which == "raw" else seed + 1)
        network = Network(MODEL, len(classes))
        tensors |= {f"{which}.network.{name}": value.contiguous() for name, value in network.state_dict().items()}
    head = {
        "format": 1, "stage": "train", "classes": list(classes), "model": MODEL.model_dump(mode="json"),
        "preprocessing": {"side": 64, "mean": [0.5] * 3, "std": [0.5] * 3}, "settings": {}, "seed": 0, "epoch": 1,
        "best": "raw", "select": {"raw": 2.0, "ema": 1.0}, "inputs": {}, "seen": sorted(seen), "thresholds": None,
        "device": "cpu", "precision": "32-true",
    }  # fmt: skip
    weights.save(path, tensors, {**head, **other})


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The files that evaluate reads."""
    root = tmp_path_factory.mktemp("made")
    settings = params.parse(params.read(RECIPE), where=RECIPE)
    shards.write(photos(root), root, root / "data/shards", settings.prepare, workers=1)
    save(root / "models/pretrain/weights.safetensors", 1)
    save(root / "models/train/weights.safetensors", 5)
    (root / "params.yaml").write_text(yaml.safe_dump(params.read(RECIPE)))
    files.write_json(root / "data/champion.json", None)
    return root


@pytest.fixture
def project(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def serve_by_onnx():
    settings = params.read()
    settings["register"]["runtime"] = "onnx"
    Path("params.yaml").write_text(yaml.safe_dump(settings))


def crown(project, **head):
    """A champion in the project's files: another untrained network."""
    file = project / "data/champion/weights.safetensors"
    save(file, 9, **head)
    name_champion(file)
    return file


def name_champion(file):
    files.write_json("data/champion.json", {"name": "n-production", "version": "1", "weights": files.digest(file)})


def test_evaluate_writes_scores_figures_and_plots(project):
    said = evaluate.main()
    found, noted = scores.read("reports/scores.parquet"), json.loads(Path("reports/metrics.json").read_text())
    assert set(found.logits) == {"sadcl", "sadcl_other", "sarl"}
    assert len(found) == noted["images"] == 12
    assert found.slices["camera"] == ["left" if i % 3 else "right" for i in range(12)]
    assert not np.array_equal(found.logits["sadcl"], found.logits["sadcl_other"])
    for name in found.logits:
        assert noted[name] == metrics.plain(found.figures(name, 0.5)) | {"ECE": found.calibration_error(name)}
    assert noted["chosen"] == "raw"
    assert noted["classes_without_positives"] == ["cow"]
    assert noted["seen_in_training"] == 0
    assert noted["digests"] == found.digests
    assert noted["digests"]["weights"] == files.digest("models/train/weights.safetensors")
    assert "test mAP" in said


def test_evaluate_leaves_plots_that_dvc_can_draw(project):
    evaluate.main()
    with open("reports/plots/per_class.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == ["cat", "dog"]
    assert [row["positives"] for row in rows] == ["6", "6"]
    ap = json.loads(Path("reports/metrics.json").read_text())["sadcl"]["mAP"]
    assert np.mean([float(row["AP"]) for row in rows]) == pytest.approx(ap, rel=1e-4)
    known = ~scores.read("reports/scores.parquet").ignored
    with open("reports/plots/reliability.csv", newline="") as file:
        assert sum(int(row["labels"]) for row in csv.DictReader(file)) == known.sum()
    with open("reports/plots/precision_recall.csv", newline="") as file:
        assert float(list(csv.DictReader(file))[-1]["recall"]) == 100


def test_the_same_inputs_give_the_same_bytes(project):
    evaluate.main()
    first = {path: path.read_bytes() for path in Path("reports").rglob("*") if path.is_file()}
    shutil.rmtree("reports")
    evaluate.main()
    assert {path: path.read_bytes() for path in Path("reports").rglob("*") if path.is_file()} == first


def test_torch_serves_by_default_and_nothing_of_onnx_is_loaded(project):
    tail = "import sys; print('ONNX', [name for name in sys.modules if name.startswith('onnx')])"
    code = f"from sadcl.stages import evaluate; evaluate.main(); {tail}"
    said = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=True).stdout
    assert "ONNX []" in said
    assert [path.name for path in Path("models/served").iterdir()] == ["served.json"]
    served = {"runtime": "torch", "file": "models/train/weights.safetensors"}
    assert json.loads(Path("models/served/served.json").read_text()) == served
    digests = json.loads(Path("reports/metrics.json").read_text())["digests"]
    assert set(digests) == {"weights", "pretrain_weights", "preprocessing", "test_list", "shards", "labels"}


def test_what_onnx_will_serve_is_what_is_scored(project, capfd):
    evaluate.main()
    by_torch = scores.read("reports/scores.parquet")
    serve_by_onnx()
    capfd.readouterr()
    evaluate.main()
    assert capfd.readouterr() == ("", "")
    found, file = scores.read("reports/scores.parquet"), Path("models/served/weights.onnx")
    noted = json.loads(Path("reports/metrics.json").read_text())
    assert noted["digests"] == found.digests
    assert found.digests["weights"] == files.digest(file)
    assert found.digests["train_weights"] == files.digest("models/train/weights.safetensors")
    assert files.read_json("models/served/served.json")["file"] == str(file)
    served = sadcl.load("models/served")
    again = tagger.logits(served.network, evaluation_batches(shards.Shards("data/shards/test"), MODEL, 100), CPU)
    np.testing.assert_array_equal(found.logits["sadcl"], again)
    for name in found.logits:
        near = by_torch.probabilities(name)
        np.testing.assert_allclose(found.probabilities(name), near, rtol=0, atol=0 if name != "sadcl" else 1e-4)
    champion = scoring.champion(file, shards.Shards("data/shards/test"), 100)
    np.testing.assert_array_equal(champion.logits["champion"], again)
    assert champion.digests["weights"] == found.digests["weights"]
    rescore.main()
    gate.main()
    assert json.loads(Path("reports/verdict.json").read_text())["model"] == found.digests["weights"]

    first = {path: path.read_bytes() for path in (*Path("models/served").iterdir(), *Path("reports").rglob("*.*"))}
    evaluate.main()
    assert {path: path.read_bytes() for path in first} == first


@pytest.mark.parametrize("stage", ["pretrain", "train"])
def test_evaluate_counts_test_photos_that_either_stage_trained_on(project, stage):
    seen = [files.digest(photo)[:16] for photo in sorted(Path("raw").iterdir())[:3]]
    save(project / f"models/{stage}/weights.safetensors", 1, seen=seen)
    evaluate.main()
    assert json.loads(Path("reports/metrics.json").read_text())["seen_in_training"] == 3
    rescore.main()
    gate.main()
    verdict = json.loads(Path("reports/verdict.json").read_text())
    assert verdict["verdict"] == "refused"
    assert "saw 3 of the test images" in verdict["rules"][0]["words"]


@pytest.mark.parametrize("classes", [("cat", "cow", "dog"), ("cat", "dog"), (*CLASSES, "hen")])
def test_evaluate_refuses_weights_that_know_other_classes(project, classes):
    save(project / "models/train/weights.safetensors", 1, classes=classes)
    with pytest.raises(SadclError, match="other classes"):
        evaluate.main()
    assert not Path("reports").exists()


def test_rescore_without_a_champion_leaves_no_scores(project):
    rescore.main()
    found = scores.read("reports/champion_scores.parquet")
    assert len(found) == 0
    assert found.refused is None


def test_rescore_and_gate_compare_with_the_champion(project):
    crown(project)
    evaluate.main()
    rescore.main()
    gate.main()
    found, verdict = (
        scores.read("reports/champion_scores.parquet"),
        json.loads(Path("reports/verdict.json").read_text()),
    )
    assert found.ids == scores.read("reports/scores.parquet").ids
    assert verdict["rules"][1]["bound"] == pytest.approx(found.figures("champion", 0.5)["mAP"])
    assert verdict["champion"] == files.digest("data/champion/weights.safetensors")


def test_the_champion_itself_scores_as_it_did_when_it_challenged(project):
    name_champion(shutil.copy("models/train/weights.safetensors", crown(project)))
    evaluate.main()
    rescore.main()
    found = scores.read("reports/champion_scores.parquet")
    np.testing.assert_array_equal(found.logits["champion"], scores.read("reports/scores.parquet").logits["sadcl"])
    gate.main()
    rules = json.loads(Path("reports/verdict.json").read_text())["rules"]
    assert rules[1]["result"] == "not applicable"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda file: file.unlink(), "are missing"),
        (lambda file: file.write_bytes(file.read_bytes()[:-1]), "not the weights of the champion"),
    ],
)
def test_a_champion_whose_weights_are_lost_stops_the_line_and_says_how_to_get_them(project, damage, words):
    damage(crown(project))
    with pytest.raises(SadclError, match=words) as caught:
        rescore.main()
    assert "dvc pull" in str(caught.value)
    assert not Path("reports/champion_scores.parquet").exists()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda file: crown(file.parents[2], classes=("a", "b", "c")), "other classes"),
        (lambda file: crown(file.parents[2], model={**MODEL.model_dump(mode="json"), "later": 1}), "later"),
    ],
)
def test_a_champion_that_cannot_be_compared_becomes_a_refusal(project, damage, words):
    damage(crown(project))
    evaluate.main()
    rescore.main()
    assert words in scores.read("reports/champion_scores.parquet").refused
    gate.main()
    verdict = json.loads(Path("reports/verdict.json").read_text())
    assert verdict["verdict"] == "refused"
    assert words in verdict["rules"][1]["words"]
