"""calibrate, evaluate and rescore as stages, on tiny shards and an untrained network: what follows from scores."""

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
from sadcl.data import table
from sadcl.data.shards import reader, writer
from sadcl.data.shards.batches import evaluation_batches
from sadcl.evaluation import inference, metrics, scores
from sadcl.model import tagger
from sadcl.model.network import Network
from sadcl.stages import calibrate, evaluate, gate, rescore
from sadcl.weights import checkpoint, file_head, training_photos
from tests.paths import REPOSITORY

RECIPE = REPOSITORY / "recipes/demo.yaml"
CLASSES = ("cat", "dog", "cow")
CPU = torch.device("cpu")
MODEL = params.Model(
    backbone="test_resnet", weights="random", output_stride=32, side=64, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5),
    width=16, heads=2, feedforward=16, embedding=8,
)  # fmt: skip


def judge():
    """Make the model for use, and score it."""
    calibrate.main()
    return evaluate.main()


def photos(root, test=12, select=8):
    """A table of test and select photos; the class `cow` is nowhere."""
    rng, rows = np.random.default_rng(0), []
    (root / "raw").mkdir(parents=True)
    for i in range(test + select):
        file = root / "raw" / f"{i:02d}.png"
        Image.fromarray(rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(file)
        rows.append(
            {
                "image_id": f"{i:02d}", "file": file.name, "split": "test" if i < test else "select",
                "labels": [i % 2], "ignored": [],
                "width": 50, "height": 40, "bytes": file.stat().st_size, "sha256": files.digest(file),
                "brightness": 99.0, "sharpness": 9.0, "phash": 1,
                "problem": None, "camera": "left" if i % 3 else "right",
            }
        )  # fmt: skip
    return table.Table(pd.DataFrame(rows), CLASSES, "raw", {})


def save(path, seed, classes=CLASSES, **other):
    """Untrained weights; raw and averaged ones differ."""
    tensors = {}
    for which in ("raw", "ema"):
        torch.manual_seed(seed if which == "raw" else seed + 1)
        network = Network(MODEL.model_copy(update={"head": other.get("model", {}).get("head", "sarl")}), len(classes))
        tensors |= {f"{which}.network.{name}": value.contiguous() for name, value in network.state_dict().items()}
    head = {
        "format": 1, "stage": "train", "classes": list(classes), "model": MODEL.model_dump(mode="json"),
        "preprocessing": {"side": 64, "mean": [0.5] * 3, "std": [0.5] * 3}, "settings": {}, "seed": 0, "epoch": 1,
        "best": "raw", "select": {"raw": 2.0, "ema": 1.0}, "inputs": {}, "training_photos": "", "thresholds": None,
        "device": "cpu", "precision": "32-true",
    }  # fmt: skip
    checkpoint.save(path, tensors, {**head, **other})


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """The files that evaluate reads."""
    root = tmp_path_factory.mktemp("template")
    settings = params.parse(params.read_settings(RECIPE), where=RECIPE)
    writer.write_shards(photos(root), root, root / "data/shards", settings.prepare, workers=1)
    save(root / "models/pretrain/weights.safetensors", 1)
    save(root / "models/train/weights.safetensors", 5)
    save(root / "models/probe/weights.safetensors", 7)
    (root / "params.yaml").write_text(yaml.safe_dump(params.read_settings(RECIPE)))
    files.write_json(root / "data/champion.json", None)
    return root


@pytest.fixture
def project(template, tmp_path, monkeypatch):
    shutil.copytree(template, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def serve_by_onnx():
    settings = params.read_settings()
    settings["register"]["runtime"] = "onnx"
    Path("params.yaml").write_text(yaml.safe_dump(settings))


def write_champion(project, **head):
    """A champion in the project's files: another untrained network."""
    file = project / "data/champion/weights.safetensors"
    save(file, 9, **head)
    name_champion(file)
    return file


def name_champion(file):
    files.write_json("data/champion.json", {"name": "n-production", "version": "1", "weights": files.digest(file)})


def test_evaluate_writes_scores_figures_and_plots(project):
    message = judge()
    written, recorded = (
        scores.read_scores("reports/scores.parquet"),
        json.loads(Path("reports/metrics.json").read_text()),
    )
    assert set(written.logits) == {"sadcl", "sadcl_other", "sarl", "probe"}
    assert len(written) == recorded["images"] == 12
    assert written.slices["size"] == reader.Shards("data/shards/test").longer_sides
    assert written.slices["camera"] == ["left" if i % 3 else "right" for i in range(12)]
    assert not np.array_equal(written.logits["sadcl"], written.logits["sadcl_other"])
    for name in written.logits:
        plain = metrics.to_json(written.figures(name, 0.5))
        assert {key: value for key, value in recorded[name].items() if key in plain} == plain
        assert recorded[name]["ECE"] == written.calibration_error(name)
    assert recorded["chosen"] == "raw"
    assert recorded["classes_without_positives"] == ["cow"]
    assert recorded["seen_in_training"] == 0
    assert recorded["digests"] == written.digests
    assert recorded["digests"]["weights"] == files.digest("models/served/weights.safetensors")
    assert "test mAP" in message


def test_the_model_for_use_holds_one_network_and_decides_as_it_was_judged(project):
    judge()
    written, recorded = (
        scores.read_scores("reports/scores.parquet"),
        json.loads(Path("reports/metrics.json").read_text()),
    )
    tensors, head = checkpoint.load_tensors(Path("models/served/weights.safetensors"))
    assert {name.partition(".")[0] for name in tensors} == {"raw"}
    assert head["train_weights"] == files.digest("models/train/weights.safetensors")
    model, test = sadcl.load("models/served"), reader.Shards("data/shards/test")
    photos = [test.jpeg(i) for i in range(len(test))]
    probable, given = written.in_use("sadcl")
    np.testing.assert_allclose(model.scores(photos), probable, atol=1e-6)
    labels = [{CLASSES[j] for j in np.flatnonzero(row)} for row in given]
    assert [{name for name, _ in prediction} for prediction in model.predict(photos)] == labels
    assert recorded["sadcl"]["in_use"] == metrics.label_metrics(given, written.targets, written.ignored)
    assert recorded["sadcl"]["ECE"] == written.calibration_error("sadcl") != recorded["sadcl"]["ECE_uncalibrated"]
    assert "in_use" not in recorded["sarl"]


def test_corrupted_photos_are_scored_too_and_the_gate_can_ask_for_robustness(project):
    settings = params.read_settings()
    settings["evaluate"]["corruptions"] = ["blur", "dark"]
    rule = {"kind": "absolute", "metric": "robustness", "at_least": 1.0}
    settings["gate"]["rules"] = [rule, {"kind": "relative", "metric": "robustness", "margin": 100.0}]
    Path("params.yaml").write_text(yaml.safe_dump(settings))
    write_champion(project)
    judge()
    rescore.main()
    gate.main()
    written, recorded = (
        scores.read_scores("reports/scores.parquet"),
        json.loads(Path("reports/metrics.json").read_text()),
    )
    assert written.models == ["sadcl", "sadcl_other", "sarl", "probe"]
    corrupted = {how: written.figures(f"sadcl@{how}", 0.5)["mAP"] for how in ("blur", "dark")}
    robustness = 100 * np.mean(list(corrupted.values())) / recorded["sadcl"]["mAP"]
    assert recorded["sadcl"]["robustness"] == pytest.approx({**corrupted, "kept": robustness})
    assert not np.array_equal(written.logits["sadcl@blur"], written.logits["sadcl"])
    rules = json.loads(Path("reports/verdict.json").read_text())["rules"]
    assert rules[0]["value"] == pytest.approx(robustness)
    assert rules[0]["low"] <= robustness <= rules[0]["high"]
    assert rules[1]["bound"] == pytest.approx(
        scores.read_scores("reports/champion_scores.parquet").robustness("champion")["kept"]
    )


def test_a_champion_scored_on_other_corruptions_is_not_compared(project):
    write_champion(project)
    rescore.main()
    settings = params.read_settings()
    settings["evaluate"]["corruptions"] = ["noise"]
    Path("params.yaml").write_text(yaml.safe_dump(settings))
    judge()
    gate.main()
    verdict = json.loads(Path("reports/verdict.json").read_text())
    assert verdict["verdict"] == "refused"
    assert "with other corruptions" in verdict["words"] + verdict["rules"][1]["words"]


def test_thresholds_come_from_select_and_never_from_test(project):
    judge()
    before = file_head.read_head(Path("models/served/weights.safetensors"))
    shutil.rmtree("data/shards/test")
    calibrate.main()
    assert file_head.read_head(Path("models/served/weights.safetensors")) == before
    assert len(before["thresholds"]) == 3


def test_calibrate_keeps_what_the_model_for_use_says_of_select(project):
    calibrate.main()
    written, select = scores.read_scores("reports/select_scores.parquet"), reader.Shards("data/shards/select")
    assert written.ids == select.ids
    assert np.array_equal(written.targets, select.targets)
    served, jpegs = sadcl.load("models/served"), [select.jpeg(i) for i in range(len(select))]
    np.testing.assert_allclose(written.in_use("sadcl")[0], served.scores(jpegs), atol=2e-4)


def test_without_a_select_split_labels_are_given_above_a_half(project):
    settings = params.parse(params.read_settings(RECIPE), where=RECIPE)
    writer.write_shards(
        photos(project / "other", select=0), project / "other", project / "data/shards", settings.prepare, workers=1
    )
    assert "no select split" in calibrate.main()
    assert len(scores.read_scores("reports/select_scores.parquet")) == 0
    head = file_head.read_head(Path("models/served/weights.safetensors"))
    assert head["thresholds"] is None
    assert head["calibration"] is None
    evaluate.main()
    assert "in_use" not in json.loads(Path("reports/metrics.json").read_text())["sadcl"]
    assert sadcl.load("models/served").thresholds.tolist() == [0.5] * 3


def test_evaluate_leaves_plots_that_dvc_can_draw(project):
    judge()
    with open("reports/plots/per_class.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == ["cat", "dog"]
    assert [row["positives"] for row in rows] == ["6", "6"]
    ap = json.loads(Path("reports/metrics.json").read_text())["sadcl"]["mAP"]
    assert np.mean([float(row["AP"]) for row in rows]) == pytest.approx(ap, rel=1e-4)
    known = ~scores.read_scores("reports/scores.parquet").ignored
    with open("reports/plots/reliability.csv", newline="") as file:
        assert sum(int(row["labels"]) for row in csv.DictReader(file)) == known.sum()
    with open("reports/plots/precision_recall.csv", newline="") as file:
        assert float(list(csv.DictReader(file))[-1]["recall"]) == 100


def test_the_same_inputs_give_the_same_bytes(project):
    judge()
    first = {path: path.read_bytes() for path in Path("reports").rglob("*") if path.is_file()}
    shutil.rmtree("reports")
    judge()
    assert {path: path.read_bytes() for path in Path("reports").rglob("*") if path.is_file()} == first


def test_torch_serves_by_default_and_nothing_of_onnx_and_engines_is_loaded(project):
    tail = "import sys; print('LOADED', [name for name in sys.modules if name.startswith(('onnx', 'sadcl.batch.'))])"
    code = f"from sadcl.stages import calibrate, evaluate; calibrate.main(); evaluate.main(); {tail}"
    output = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=True).stdout
    assert "LOADED ['sadcl.batch.computing']" in output
    assert [path.name for path in Path("models/served").iterdir()] == ["weights.safetensors"]


def test_what_onnx_will_serve_is_what_is_scored(project, capfd):
    judge()
    by_torch = scores.read_scores("reports/scores.parquet")
    serve_by_onnx()
    capfd.readouterr()
    judge()
    assert capfd.readouterr() == ("", "")
    written, file = scores.read_scores("reports/scores.parquet"), Path("models/served/weights.onnx")
    recorded = json.loads(Path("reports/metrics.json").read_text())
    assert recorded["digests"] == written.digests
    assert written.digests["weights"] == files.digest(file)
    assert written.digests["train_weights"] == files.digest("models/train/weights.safetensors")
    assert [path.name for path in Path("models/served").iterdir()] == ["weights.onnx"]
    served = sadcl.load("models/served")
    again = tagger.logits(served.network, evaluation_batches(reader.Shards("data/shards/test"), MODEL, 100), CPU)
    np.testing.assert_array_equal(written.logits["sadcl"], again)
    for name in written.logits:
        near = by_torch.probabilities(name)
        np.testing.assert_allclose(written.probabilities(name), near, rtol=0, atol=0 if name != "sadcl" else 1e-4)
    champion = inference.score_champion(file, reader.Shards("data/shards/test"), 100)
    np.testing.assert_array_equal(champion.logits["champion"], again)
    assert champion.digests["weights"] == written.digests["weights"]
    rescore.main()
    gate.main()
    assert json.loads(Path("reports/verdict.json").read_text())["model"] == written.digests["weights"]


@pytest.mark.parametrize("stage", ["pretrain", "train"])
def test_evaluate_counts_test_photos_that_either_stage_trained_on(project, stage):
    digests = [files.digest(photo) for photo in sorted(Path("raw").iterdir())[:3]]
    photos = training_photos.dump(training_photos.prefixes(digests))
    save(project / f"models/{stage}/weights.safetensors", 1, training_photos=photos)
    judge()
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
        judge()
    assert not Path("reports").exists()


def test_rescore_without_a_champion_leaves_no_scores(project):
    rescore.main()
    written = scores.read_scores("reports/champion_scores.parquet")
    assert len(written) == 0
    assert written.refused is None


def test_rescore_and_gate_compare_with_the_champion(project):
    write_champion(project)
    judge()
    rescore.main()
    gate.main()
    written, verdict = (
        scores.read_scores("reports/champion_scores.parquet"),
        json.loads(Path("reports/verdict.json").read_text()),
    )
    assert written.ids == scores.read_scores("reports/scores.parquet").ids
    assert verdict["rules"][1]["bound"] == pytest.approx(written.figures("champion", 0.5)["mAP"])
    assert verdict["champion"] == files.digest("data/champion/weights.safetensors")


def test_the_champion_itself_scores_as_it_did_when_it_challenged(project):
    calibrate.main()
    name_champion(shutil.copy("models/served/weights.safetensors", write_champion(project)))
    evaluate.main()
    rescore.main()
    written = scores.read_scores("reports/champion_scores.parquet")
    np.testing.assert_array_equal(
        written.logits["champion"], scores.read_scores("reports/scores.parquet").logits["sadcl"]
    )
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
    damage(write_champion(project))
    with pytest.raises(SadclError, match=words) as caught:
        rescore.main()
    assert "dvc pull" in str(caught.value)
    assert not Path("reports/champion_scores.parquet").exists()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda file: write_champion(file.parents[2], classes=("a", "b", "c")), "other classes"),
        (lambda file: write_champion(file.parents[2], model={**MODEL.model_dump(mode="json"), "later": 1}), "later"),
    ],
)
def test_a_champion_that_cannot_be_compared_becomes_a_refusal(project, damage, words):
    damage(write_champion(project))
    judge()
    rescore.main()
    assert words in scores.read_scores("reports/champion_scores.parquet").refused
    gate.main()
    verdict = json.loads(Path("reports/verdict.json").read_text())
    assert verdict["verdict"] == "refused"
    assert words in verdict["rules"][1]["words"]


def test_a_graph_from_before_the_probe_is_evaluated_without_it(project):
    Path("models/probe/weights.safetensors").unlink()
    assert "probe" not in judge()
    rescore.main()
    gate.main()
    assert json.loads(Path("reports/verdict.json").read_text())["probe"] is None


def test_a_model_that_is_the_probe_is_not_compared_with_it(project):
    settings = params.read_settings()
    settings["gate"]["rules"] = [{"kind": "probe"}, {"kind": "absolute", "metric": "mAP", "at_least": 0.0}]
    Path("params.yaml").write_text(yaml.safe_dump(settings))
    for stage in ("train", "pretrain", "probe"):
        save(
            project / f"models/{stage}/weights.safetensors",
            5,
            model={**MODEL.model_dump(mode="json"), "head": "linear"},
        )
    judge()
    rescore.main()
    gate.main()
    verdict = json.loads(Path("reports/verdict.json").read_text())
    assert verdict["probe"] is None
    assert [rule["result"] for rule in verdict["rules"]] == ["not applicable", "pass"]
