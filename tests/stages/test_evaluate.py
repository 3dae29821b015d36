"""The stage evaluate: scores, figures, plots, and what the gate reads of them."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest

from sadcl import SadclError, files
from sadcl.data.shards import reader
from sadcl.evaluation import metrics, scores, shown_photos
from sadcl.stages import gate, rescore
from sadcl.weights import loader, training_photos
from tests.stages.scored_project import (
    CLASSES,
    MODEL,
    change_settings,
    judge,
    read_metrics,
    read_verdict,
    save,
    write_champion,
)


def test_evaluate_writes_scores_figures_and_plots(project):
    message = judge()
    written, recorded = scores.read_scores("reports/scores.parquet"), read_metrics()
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


def test_corrupted_photos_are_scored_too_and_the_gate_can_ask_for_robustness(project):
    change_settings("evaluate", corruptions=["blur", "dark"])
    rule = {"kind": "absolute", "metric": "robustness", "at_least": 1.0}
    change_settings("gate", rules=[rule, {"kind": "relative", "metric": "robustness", "margin": 100.0}])
    write_champion(project)
    judge()
    rescore.main()
    gate.main()
    written, recorded = scores.read_scores("reports/scores.parquet"), read_metrics()
    assert written.models == ["sadcl", "sadcl_other", "sarl", "probe"]
    corrupted = {how: written.figures(f"sadcl@{how}", 0.5)["mAP"] for how in ("blur", "dark")}
    robustness = 100 * np.mean(list(corrupted.values())) / recorded["sadcl"]["mAP"]
    assert recorded["sadcl"]["robustness"] == pytest.approx({**corrupted, "kept": robustness})
    assert not np.array_equal(written.logits["sadcl@blur"], written.logits["sadcl"])
    rules = read_verdict()["rules"]
    assert rules[0]["value"] == pytest.approx(robustness)
    assert rules[0]["low"] <= robustness <= rules[0]["high"]
    assert rules[1]["bound"] == pytest.approx(
        scores.read_scores("reports/champion_scores.parquet").robustness("champion")["kept"]
    )


def test_evaluate_leaves_photos_for_the_report_with_maps_of_the_model_for_use(project):
    judge()
    written, test = scores.read_scores("reports/scores.parquet"), reader.Shards("data/shards/test")
    shown = shown_photos.read(Path("reports/shown_photos.safetensors"))
    assert len(shown) == written.targets.any(1).sum() == 12
    served = loader.load_tagger("models/served")
    for photo in shown:
        assert set(photo.true) == set(np.flatnonzero(written.targets[photo.row]))
        assert test.ids[photo.row] == written.ids[photo.row]
        maps = served.attention_or_none(test.jpeg(photo.row))
        np.testing.assert_array_equal(photo.maps, maps[list(photo.mapped)])


def test_evaluate_leaves_plots_that_dvc_can_draw(project):
    judge()
    with open("reports/plots/per_class.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == ["cat", "dog"]
    assert [row["positives"] for row in rows] == ["6", "6"]
    ap = read_metrics()["sadcl"]["mAP"]
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


@pytest.mark.parametrize("stage", ["pretrain", "train"])
def test_evaluate_counts_test_photos_that_either_stage_trained_on(project, stage):
    digests = [files.digest(photo) for photo in sorted(Path("raw").iterdir())[:3]]
    photos = training_photos.dump(training_photos.prefixes(digests))
    save(project / f"models/{stage}/weights.safetensors", 1, training_photos=photos)
    judge()
    assert read_metrics()["seen_in_training"] == 3
    rescore.main()
    gate.main()
    verdict = read_verdict()
    assert verdict["verdict"] == "refused"
    assert "saw 3 of the test images" in verdict["rules"][0]["words"]


@pytest.mark.parametrize("classes", [("cat", "cow", "dog"), ("cat", "dog"), (*CLASSES, "hen")])
def test_evaluate_refuses_weights_that_know_other_classes(project, classes):
    save(project / "models/train/weights.safetensors", 1, classes=classes)
    with pytest.raises(SadclError, match="other classes"):
        judge()
    assert not Path("reports").exists()


def test_a_graph_from_before_the_probe_is_evaluated_without_it(project):
    Path("models/probe/weights.safetensors").unlink()
    assert "probe" not in judge()
    rescore.main()
    gate.main()
    assert read_verdict()["probe"] is None


def test_a_model_that_is_the_probe_is_not_compared_with_it(project):
    change_settings("gate", rules=[{"kind": "probe"}, {"kind": "absolute", "metric": "mAP", "at_least": 0.0}])
    for stage in ("train", "pretrain", "probe"):
        save(
            project / f"models/{stage}/weights.safetensors",
            5,
            model={**MODEL.model_dump(mode="json"), "head": "linear"},
        )
    judge()
    rescore.main()
    gate.main()
    verdict = read_verdict()
    assert verdict["probe"] is None
    assert [rule["result"] for rule in verdict["rules"]] == ["not applicable", "pass"]
