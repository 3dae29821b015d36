"""The gate as a stage: a verdict on disk whatever the result, and its words on the screen."""

import json
from dataclasses import replace

import numpy as np
import pytest
import yaml

from sadcl import SadclError, files, params
from sadcl.evaluation import scores
from sadcl.evaluation.gate import recheck
from sadcl.evaluation.metrics import to_json
from sadcl.stages import gate
from tests.paths import REPOSITORY

MODEL = "a" * 64
RECIPE = REPOSITORY / "recipes/demo.yaml"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder as evaluate and rescore leave it, without a champion."""
    settings = params.read_settings(RECIPE)
    monkeypatch.chdir(tmp_path)
    settings["gate"]["rules"][0]["at_least"] = 50.0
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(settings))
    rng = np.random.default_rng(0)
    targets = rng.random((40, 3)) < 0.5
    model = scores.Scores(
        [str(i) for i in range(40)], ["0" * 64] * 40, ("a", "b", "c"), targets, np.zeros_like(targets),
        logits={"sadcl": (2.0 * targets - 1).astype(np.float32)}, digests={"weights": MODEL},
        training_overlap={"sadcl": 0},
    )  # fmt: skip
    scores.write_scores("reports/scores.parquet", model)
    noted = {"sadcl": to_json(model.figures("sadcl", 0.5)), "digests": model.digests, "seen_in_training": 0}
    files.write_json("reports/metrics.json", noted)
    scores.write_scores("reports/champion_scores.parquet", scores.empty_scores())
    files.write_json("data/champion.json", None)
    return tmp_path


def test_a_first_model_passes_and_each_rule_is_shown(project, capsys):
    message = gate.main()
    verdict = json.loads((project / "reports/verdict.json").read_text())
    assert verdict["verdict"] == "pass"
    assert verdict["model"] == MODEL
    printed = capsys.readouterr().out
    assert "pass: mAP 100.00, at worst 100.00, is at least 50.00." in printed
    assert "not applicable: in_use.OF1" in printed
    assert "OF1: F1 over all labels together; in_use: with the served probabilities and thresholds." in printed
    assert "The model passes" in message


def test_a_failed_gate_is_a_result(project):
    settings = yaml.safe_load((project / "params.yaml").read_text())
    settings["gate"]["rules"][0] = {"kind": "absolute", "metric": "OF1", "at_most": 20.0}
    (project / "params.yaml").write_text(yaml.safe_dump(settings))
    assert "The model fails" in gate.main()
    assert json.loads((project / "reports/verdict.json").read_text())["verdict"] == "fail"


def test_a_named_champion_without_scores_refuses(project):
    files.write_json("data/champion.json", {"name": "n-production", "version": "1", "weights": "b" * 64})
    assert "refuses" in gate.main()
    assert json.loads((project / "reports/verdict.json").read_text())["verdict"] == "refused"


@pytest.mark.parametrize(
    "lost", ["reports/scores.parquet", "reports/champion_scores.parquet", "reports/metrics.json", "data/champion.json"]
)
def test_without_an_input_there_is_no_verdict(project, lost):
    (project / lost).unlink()
    with pytest.raises(SadclError):
        gate.main()
    assert not (project / "reports/verdict.json").exists()


def test_the_same_files_give_the_same_bytes(project):
    gate.main()
    first = (project / "reports/verdict.json").read_bytes()
    gate.main()
    assert (project / "reports/verdict.json").read_bytes() == first


def test_anybody_can_check_the_verdict_byte_for_byte(project):
    gate.main()
    assert "byte for byte" in recheck.recheck()
    assert recheck.describe()[0].startswith("The model passes")
    text = (project / "reports/verdict.json").read_text()
    (project / "reports/verdict.json").write_text(text.replace("pass", "fail"))
    with pytest.raises(SadclError, match="The verdict does not follow"):
        recheck.recheck()
    (project / "reports/verdict.json").write_text(text)
    model = scores.read_scores("reports/scores.parquet")
    scores.write_scores("reports/scores.parquet", replace(model, logits={"sadcl": -model.logits["sadcl"]}))
    with pytest.raises(SadclError, match="The verdict does not follow"):
        recheck.recheck()


def test_without_a_verdict_there_is_none_to_show_or_check(project):
    for ask in (recheck.describe, recheck.recheck):
        with pytest.raises(SadclError, match="dvc repro"):
            ask()
