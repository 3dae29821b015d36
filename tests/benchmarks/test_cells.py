"""The comparison's settings: every cell that dvc.yaml names can be set up, and all heads tried the same."""

import pytest
import yaml

from benchmarks import cell
from tests.paths import REPOSITORY

GRAPH = yaml.safe_load((REPOSITORY / "benchmarks/dvc.yaml").read_text(encoding="utf-8"))["stages"]


@pytest.fixture(autouse=True)
def at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)


@pytest.mark.parametrize("stage", ["sarl", "head", "head_tuned", "dual", "dual_tuned"])
def test_every_cell_has_settings_of_its_own_row(stage: str) -> None:
    matrix = GRAPH[stage]["matrix"]
    found = {
        row: cell.settings(kind, row, seed=1)
        for kind in matrix["kind"]
        for row in matrix.get("row", ["sarl"])
    }  # fmt: skip
    heads = {row: settings.model.head for row, settings in found.items()}
    weights = {row: (s.train.sample_to_sample > 0, s.train.prototype_to_sample > 0) for row, s in found.items()}
    expected = {
        "sarl": ({"sarl": "sarl"}, {"sarl": (True, True)}),
        "head": ({row: row.split("_no")[0] for row in heads}, weights),
        "dual": (
            dict.fromkeys(heads, "sarl"),
            {
                "zero": (False, False),
                "sample_to_sample": (True, False),
                "prototype_to_sample": (False, True),
                "both": (True, True),
            },
        ),
    }
    wanted_heads, wanted_weights = expected[stage.removesuffix("_tuned")]
    assert heads == wanted_heads
    assert weights == {row: wanted_weights[row] for row in weights}


def test_a_trial_is_the_same_for_every_head_and_comes_again() -> None:
    drawn = [cell.drawn_settings(trial) for trial in GRAPH["choice"]["matrix"]["trial"]]
    assert drawn == [cell.drawn_settings(trial) for trial in GRAPH["choice"]["matrix"]["trial"]]
    assert len({tuple(settings.values()) for settings in drawn}) == len(drawn)


@pytest.mark.parametrize("stage", ["choice", "choice_tuned"])
def test_what_was_chosen_is_the_best_trial_of_each_head(stage: str) -> None:
    own, matrix = (
        yaml.safe_load((REPOSITORY / "benchmarks/params.yaml").read_text(encoding="utf-8")),
        GRAPH[stage]["matrix"],
    )
    [kind] = matrix["kind"]
    for row in matrix["row"]:
        tried = [
            yaml.safe_load((cell.CELLS / f"choice/{kind}/{row}-{trial}.json").read_text()) for trial in matrix["trial"]
        ]
        best = max(tried, key=lambda one: one["select"])["settings"]
        chosen = own["chosen"][kind][row]
        pretrain = chosen["pretrain"]
        assert pretrain == {name: best[name] for name in pretrain}
        assert len(pretrain) == 3
        assert chosen.get("model", {}).get("dropout", best["dropout"]) == best["dropout"]


@pytest.mark.parametrize(
    ("stage", "row"),
    [
        *(("choice_dual", row) for row in ("zero", "sample_to_sample", "prototype_to_sample", "both")),
        *(("choice_dual_tuned", row) for row in ("zero", "both")),
    ],
)
def test_stage_2_is_set_as_in_the_best_trial_of_its_row(stage: str, row: str) -> None:
    matrix, trials = GRAPH[stage]["matrix"], cell._own()["search_dual"]
    [kind], weights = matrix["kind"], ("sample_to_sample", "prototype_to_sample")
    train = cell.settings(kind, row, seed=1).train
    on = [getattr(train, weight) > 0 for weight in weights]
    names = [name for name in matrix["trial"] if [trials[name][weight] > 0 for weight in weights] == on]
    select = {
        name: sum(
            yaml.safe_load((cell.CELLS / f"choice/{kind}/dual-{name}-{seed}.json").read_text())["select"]
            for seed in matrix["seed"]
        )
        for name in names
    }
    best = trials[max(names, key=lambda name: select[name])]
    tried = {name: value for name, value in best.items() if name != "lr" or kind == "tuned"}
    assert {name: getattr(train, name) for name in tried} == tried
