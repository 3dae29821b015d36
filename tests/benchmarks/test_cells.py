"""The comparison's settings: every cell that dvc.yaml names can be set up, and all heads tried the same."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from benchmarks import cell
from benchmarks.photos import write_part
from sadcl.data.shards.reader import Shards
from tests.paths import REPOSITORY

GRAPH = yaml.safe_load((REPOSITORY / "benchmarks/dvc.yaml").read_text(encoding="utf-8"))["stages"]


@pytest.fixture(autouse=True)
def in_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)


def test_a_row_like_another_has_its_settings_and_what_was_chosen_for_it() -> None:
    both, zero = (cell.settings("tuned", row, seed=1) for row in ("both", "zero"))
    for row in ("shuffled", "class_weighted", "other_photos", "class_queue", "both_quarter", "both_half"):
        assert cell.settings("tuned", row, seed=1) == both
    assert cell.settings("tuned", "zero_half", seed=1) == zero


@pytest.mark.parametrize("kind", ["frozen", "tuned"])
def test_the_long_cycle_of_stage_1_has_the_epochs_of_both_stages(kind: str) -> None:
    sarl, long = (cell.settings(kind, row, seed=1) for row in ("sarl", "sarl_long"))
    assert long.pretrain == sarl.pretrain.model_copy(update={"epochs": sarl.pretrain.epochs + sarl.train.epochs})
    assert long.model == sarl.model


@pytest.mark.parametrize("row", ["zero", "both"])
def test_a_larger_batch_has_a_higher_rate_and_as_many_epochs(row: str) -> None:
    base, larger = (cell.settings("tuned", name, seed=1).train for name in (row, f"{row}_256"))
    assert larger.batch == 256
    assert larger.lr == pytest.approx(base.lr * (256 / 50) ** 0.5, rel=0.03)
    assert larger.model_copy(update={"batch": base.batch, "lr": base.lr}) == base


def test_every_row_is_run_by_a_stage() -> None:
    assert {row for stage in GRAPH.values() for row in _rows_of(stage)} == set(cell._own()["rows"])


def _rows_of(stage: dict[str, Any]) -> set[str]:
    """Rows of the cells that a stage runs, from its command and its matrix."""
    command, matrix = stage["cmd"].split(), stage.get("matrix", {})
    if not {"head", "dual"} & {*command}:
        return set()
    names = {command[-2]}
    for key in ("row", "part", "batch"):
        names = {name.replace(f"${{item.{key}}}", str(v)) for name in names for v in matrix.get(key, [""])}
    return names


def test_a_trial_of_stage_2_does_not_depend_on_what_was_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    own, used = cell._own(), []
    monkeypatch.setattr(cell, "_own", lambda: own)
    monkeypatch.setattr(cell, "_second_stage", lambda settings, _start: used.append(settings.train))
    monkeypatch.setattr(cell, "_close_choice", lambda *_rest: "")
    for chosen in ({}, {"train": {"sample_temperature": 0.9, "lr": 1.0}}):
        own["chosen"]["tuned"]["both"] = chosen
        cell.choice_dual("tuned", "soft", 101)
    assert used[0] == used[1]
    assert used[0].sample_to_sample == own["search_dual"]["soft"]["sample_to_sample"]


def test_a_part_of_the_photos_is_the_same_for_all_and_lies_in_a_larger_one(project: Path) -> None:
    shards = project / "data/shards"
    parts = {}
    for count in (5, 9):
        out = project / f"part-{count}"
        out.mkdir()
        write_part(shards, count, out)
        parts[count] = Shards(out / "train")
        assert Shards(out / "select").ids == Shards(shards / "select").ids
    whole = Shards(shards / "train")
    assert [len(part) for part in parts.values()] == [5, 9]
    assert set(parts[5].ids) < set(parts[9].ids) < set(whole.ids)
    assert parts[9].ids == sorted(parts[9].ids)
    assert parts[9].ids != whole.ids[:9]
    rows = [whole.ids.index(name) for name in parts[9].ids]
    assert (parts[9].targets == whole.targets[rows]).all()
    assert parts[9].jpeg(3) == whole.jpeg(rows[3])


@pytest.mark.parametrize("stage", ["sarl", "head", "head_tuned_even", "dual", "dual_tuned", "dual_tuned_even"])
def test_every_cell_has_settings_of_its_own_row(stage: str) -> None:
    matrix = GRAPH[stage]["matrix"]
    settings_by_row = {
        row: cell.settings(kind, row, seed=1)
        for kind in matrix["kind"]
        for row in matrix.get("row", ["sarl"])
    }  # fmt: skip
    heads = {row: settings.model.head for row, settings in settings_by_row.items()}
    weights = {
        row: (s.train.sample_to_sample > 0, s.train.prototype_to_sample > 0) for row, s in settings_by_row.items()
    }
    expected = {
        "sarl": ({"sarl": "sarl"}, {"sarl": (True, True)}),
        "head": ({row: row.split("_no")[0].removesuffix("_probe") for row in heads}, weights),
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
    wanted_heads, wanted_weights = expected[stage.split("_")[0]]
    assert heads == wanted_heads
    assert weights == {row: wanted_weights[row] for row in weights}


@pytest.mark.parametrize("stage", ["choice", "choice_tuned_even"])
def test_a_trial_is_the_same_for_every_head_and_comes_again(stage: str) -> None:
    matrix = GRAPH[stage]["matrix"]
    [kind], trials = matrix["kind"], matrix["trial"]
    drawn = [cell.drawn_settings(kind, trial) for trial in trials]
    assert trials == [*range(1, len(trials) + 1)]
    assert drawn == [cell.drawn_settings(kind, trial) for trial in trials]
    assert len({tuple(settings.values()) for settings in drawn}) == len(drawn)


def test_the_rate_of_the_backbone_is_drawn_free_of_the_heads() -> None:
    low, high = cell._own()["search"]["tuned_even"]["ranges"]["backbone_rate"]
    drawn = [cell.drawn_settings("tuned_even", trial) for trial in range(100)]
    rates = np.array([[one["lr"], one["lr"] * one["backbone_lr"]] for one in drawn])
    assert rates[:, 1].min() > 0.97 * low  # rounded to two digits
    assert rates[:, 1].max() < 1.03 * high
    assert abs(np.corrcoef(np.log(rates).T)[0, 1]) < 0.25


def test_stage_2_after_even_budgets_has_the_settings_chosen_before() -> None:
    for row in ("zero", "both", "class_weighted"):
        even, before = (cell.settings(kind, row, seed=1).train for kind in ("tuned_even", "tuned"))
        assert even == before


@pytest.mark.parametrize("stage", ["choice", "choice_tuned", "choice_tuned_even"])
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
        assert pretrain.keys() == best.keys() - {"dropout"}
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
    if kind == "tuned" and row != "zero":  # compared at the control's best rate
        rate, plain = cell.settings(kind, "zero", seed=1).train.lr, cell._own()[kind]["train"]["lr"]
        names = [name for name in names if trials[name].get("lr", plain) == rate]
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
