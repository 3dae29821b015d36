"""The stage calibrate: thresholds from select, and the model for use that later stages and people get."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

import sadcl
from sadcl import files, params
from sadcl.data.shards import reader, writer
from sadcl.data.shards.batches import evaluation_batches
from sadcl.evaluation import inference, metrics, scores
from sadcl.model import tagger
from sadcl.stages import calibrate, evaluate, gate, rescore
from sadcl.weights import checkpoint, file_head
from tests.stages.scored_project import (
    CLASSES,
    MODEL,
    RECIPE,
    change_settings,
    judge,
    photos,
    read_metrics,
    read_verdict,
)

CPU = torch.device("cpu")


def test_the_model_for_use_holds_one_network_and_decides_as_it_was_judged(project):
    judge()
    written, recorded = scores.read_scores("reports/scores.parquet"), read_metrics()
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
    assert "in_use" not in read_metrics()["sadcl"]
    assert sadcl.load("models/served").thresholds.tolist() == [0.5] * 3


def test_torch_serves_by_default_and_nothing_of_onnx_and_engines_is_loaded(project):
    tail = "import sys; print('LOADED', [name for name in sys.modules if name.startswith(('onnx', 'sadcl.batch.'))])"
    code = f"from sadcl.stages import calibrate, evaluate; calibrate.main(); evaluate.main(); {tail}"
    output = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=True).stdout
    assert "LOADED ['sadcl.batch.computing']" in output
    assert [path.name for path in Path("models/served").iterdir()] == ["weights.safetensors"]


def test_what_onnx_will_serve_is_what_is_scored(project, capfd):
    judge()
    by_torch = scores.read_scores("reports/scores.parquet")
    change_settings("register", runtime="onnx")
    capfd.readouterr()
    judge()
    assert capfd.readouterr() == ("", "")
    written, file = scores.read_scores("reports/scores.parquet"), Path("models/served/weights.onnx")
    recorded = read_metrics()
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
    assert read_verdict()["model"] == written.digests["weights"]
