"""Joining a study: on equal conditions it runs trials, otherwise a sentence names the difference."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from sadcl import layout, params
from sadcl.cli import app
from sadcl.errors import SadclError
from sadcl.tuning import conditions, space, storage, study


def begin(project: Path, trials: int) -> storage.SharedStudy:
    """A study of the project, as `sadcl tune` begins it."""
    settings = params.load()
    shared = storage.open_study(study.study_name(settings), settings)
    study.begin(shared, settings, trials, conditions.present(settings), project)
    return shared


def test_a_machine_that_joins_runs_trials_until_the_study_has_its_number(project: Path) -> None:
    shared = begin(project, 2)
    sentence = study.join()
    trials = shared.study.trials
    assert [trial.state.name for trial in trials] == ["COMPLETE", "COMPLETE"]
    assert sentence == (
        f"The study {shared.study.study_name} has its 2 trials; best select mAP so far {shared.study.best_value:.2f}"
    )
    assert study.join(shared.study.study_name) == sentence, "none is left to start"
    assert study.tune(2).value == shared.study.best_value


@pytest.mark.parametrize(
    ("kind", "name", "value", "message"),
    [
        ("packages", "torch", "1.0", r"torch is [\d.]+ on this machine and 1\.0 in the study .* Install the versions"),
        ("code", "code of training", "0", "other code of training .* check out the commit"),
        ("data", "select photos", "0", "other select photos .* `dvc pull`"),
    ],
)
def test_a_machine_that_differs_is_refused(project: Path, kind: str, name: str, value: str, message: str) -> None:
    shared = begin(project, 2)
    recorded = shared.study.user_attrs[conditions.ATTRIBUTE]
    recorded[kind][name] = value
    shared.study.set_user_attr(conditions.ATTRIBUTE, recorded)
    with pytest.raises(SadclError, match=message):
        study.join()
    assert [trial.state.name for trial in shared.study.trials] == ["WAITING"]


def test_other_settings_are_named(project: Path) -> None:
    begin(project, 2)
    changed = space.with_values(params.read_settings(), {"train.epochs": 7})
    Path(params.FILE).write_text(yaml.safe_dump(changed))
    with pytest.raises(SadclError, match=r"train\.epochs is 7 on this machine and 1 in the study .* params\.yaml"):
        study.join()


def test_without_a_study_photos_or_the_named_study_a_sentence_says_so(project: Path) -> None:
    with pytest.raises(SadclError, match=r"no study to join .* Run `sadcl tune` on one machine first"):
        study.join()
    shared = begin(project, 2)
    with pytest.raises(SadclError, match=f"no study other .* {shared.study.study_name}"):
        study.join("other")
    (layout.SHARDS / "select/index.json").unlink()
    with pytest.raises(SadclError, match=r"input of the trainings is missing .* `dvc pull`"):
        study.join()


def test_a_search_that_goes_on_under_other_versions_says_so(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shared = begin(project, 2)
    recorded = shared.study.user_attrs[conditions.ATTRIBUTE]
    recorded["packages"]["timm"] = "0.1"
    shared.study.set_user_attr(conditions.ATTRIBUTE, recorded)
    begin(project, 2)
    assert "note: this differs from the start of the study" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tune", "--join", "--trials", "3"], "Join without them"),
        (["tune", "--join", "--apply"], "Join without them"),
        (["tune", "a-study"], "Run `sadcl tune --join a-study`"),
    ],
)
def test_options_that_do_not_go_together_are_refused(words: list[str], message: str) -> None:
    assert message in str(CliRunner().invoke(app, words).exception)
