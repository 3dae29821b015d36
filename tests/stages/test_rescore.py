"""The stage rescore: the champion on the photos of the candidate, and what the gate makes of it."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from sadcl import SadclError, files
from sadcl.evaluation import scores
from sadcl.stages import calibrate, evaluate, gate, rescore
from tests.stages.scored_project import (
    MODEL,
    change_settings,
    judge,
    name_champion,
    read_verdict,
    write_champion,
)


def test_a_champion_scored_on_other_corruptions_is_not_compared(project):
    write_champion(project)
    rescore.main()
    change_settings("evaluate", corruptions=["noise"])
    judge()
    gate.main()
    verdict = read_verdict()
    assert verdict["verdict"] == "refused"
    assert "with other corruptions" in verdict["words"] + verdict["rules"][1]["words"]


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
    written, verdict = scores.read_scores("reports/champion_scores.parquet"), read_verdict()
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
    rules = read_verdict()["rules"]
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
    verdict = read_verdict()
    assert verdict["verdict"] == "refused"
    assert words in verdict["rules"][1]["words"]
