"""A search that is killed, whose settings fail, or that has several workers; and its winner's training, for real."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest
import yaml
from hypothesis import given
from hypothesis import settings as laws
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from sadcl import layout, params, pipeline
from sadcl.errors import SadclError
from sadcl.stages import train
from sadcl.training import fit
from sadcl.tuning import claims, search, space, study
from tests.paths import REPOSITORY
from tests.tuning.projects import opened, small

# A run that was started in the background ignores Ctrl-C, and so would the processes that are started here.
signal.signal(signal.SIGINT, signal.default_int_handler)

SLOW = """
import time
from pathlib import Path
from sadcl import params
from sadcl.tuning import search
from tests.tuning import projects

def slow(settings, report):
    report(0, 50.0)
    if settings.train.lr != params.load().train.lr:
        Path("begun").touch()
        time.sleep(60)
    return 50.0

settings, shared = projects.opened(Path())
search.search(shared, settings, slow, Path())
"""


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_search_goes_on_with_the_same_settings(tmp_path: Path, sign: signal.Signals) -> None:
    root = small(tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    killed = subprocess.Popen([sys.executable, "-c", SLOW], cwd=root, env=environment, stderr=subprocess.DEVNULL)
    wait_for((root / "begun").exists)
    killed.send_signal(sign)
    killed.wait(30)
    settings, shared = opened(root)
    shared_study = shared.study
    cut_short = shared_study.trials[1]
    search.search(shared, settings, lambda settings, report: 60.0 + settings.train.lr, root)
    again = [t for t in shared_study.trials[2:] if t.system_attrs.get("retry_history") == [1]]
    assert [t.params for t in again] == [cut_short.params]
    assert again[0].state == TrialState.COMPLETE
    assert claims.counted_trials(shared_study) == 3


def test_a_search_that_goes_on_does_not_repeat_itself(tmp_path: Path) -> None:
    root = small(tmp_path)
    for trials in (3, 6):
        settings, shared = opened(root, trials)
        search.search(shared, settings, lambda settings, report: settings.train.lr, root)
    assert len({trial.params["train.lr"] for trial in shared.study.trials}) == 6


def test_settings_that_cannot_be_trained_are_passed_over(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    settings, shared = opened(small(tmp_path), 4)
    calls, shared_study = iter(range(100)), shared.study

    def sometimes(settings: params.Params, report: search.Report) -> float:
        if next(calls) == 1:
            raise SadclError("The loss is not finite", fix="Lower lr")
        return 50.0

    search.search(shared, settings, sometimes, tmp_path)
    printed = capfd.readouterr()
    assert printed.out.count("The loss is not finite") == 1
    assert printed.err == "", "no log line or traceback of Optuna"
    assert [trial.state.name for trial in shared_study.trials] == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    claims.take_back(shared)
    assert len(shared_study.trials) == 4, "what failed by itself is not tried again"


def test_a_training_that_returns_no_number_fails_in_a_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings, shared = opened(small(tmp_path))
    with pytest.raises(SadclError, match="no number"):
        search.search(shared, settings, lambda settings, report: float("nan"), tmp_path)
    assert capfd.readouterr().err == ""


def test_a_training_without_select_photos_fails_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, shared = opened(small(tmp_path))
    monkeypatch.setattr(fit, "train", lambda *_, **__: SimpleNamespace(best_select=None))
    with pytest.raises(SadclError, match=r"no number .* Label photos of the select split"):
        search.search(shared, settings, search.training(tmp_path), tmp_path)


@pytest.mark.parametrize(("good", "trials"), [(0, 1), (1, 4)])
def test_present_settings_that_fail_or_three_in_a_row_end_the_search(tmp_path: Path, good: int, trials: int) -> None:
    settings, shared = opened(small(tmp_path), 9)
    calls = iter(range(100))

    def fails(settings: params.Params, report: search.Report) -> float:
        if next(calls) >= good:
            raise SadclError("The loss is not finite", fix="Lower lr")
        return 50.0

    with pytest.raises(SadclError, match=r"The loss is not finite. Lower lr"):
        search.search(shared, settings, fails, tmp_path)
    assert len(shared.study.trials) == trials


def test_other_settings_of_stage_2_are_another_study(tmp_path: Path) -> None:
    root = small(tmp_path)
    settings = params.load(path=root / "params.yaml")
    raw = params.read_settings(root / "params.yaml")
    name = study.study_name(settings, root)
    assert study.study_name(params.parse(space.with_values(raw, {"train.lr": 7e-4}), "here"), root) == name
    assert study.study_name(params.parse(space.with_values(raw, {"train.epochs": 7}), "here"), root) != name
    (root / layout.PRETRAIN_WEIGHTS).write_bytes(b"other weights")
    assert study.study_name(settings, root) != name


def test_a_space_outside_stage_2_is_refused(tmp_path: Path) -> None:
    root = small(tmp_path)
    raw = params.read_settings(root / "params.yaml")
    raw["tune"]["space"] = {"pretrain.lr": {"low": 1e-4, "high": 1e-3}}
    (root / "params.yaml").write_text(yaml.safe_dump(raw))
    with pytest.raises(SadclError, match=r"Search settings of train only"):
        study.tune(1, root=root)


@pytest.mark.parametrize(
    ("key", "dimension", "message"),
    [
        ("train.lr", {"low": 2e-3, "high": 1e-4}, r"from 0\.002 to 0\.0001 .* Set low below high"),
        ("train.lr", {"low": 1e-4, "high": float("inf")}, r"train\.lr\.high: Input should be a finite number"),
        ("train.lr", {"low": float("nan"), "high": 1}, r"train\.lr\.low: Input should be a finite number"),
        ("train.lr", {"low": 0, "high": 1, "log": True}, "logarithmic, but begins at 0"),
        ("train.lr", {"low": 1e-4}, "neither choices nor low and high"),
        ("train.lr", {"choices": []}, "choices of train.lr lack its present value"),
        ("train.batch", {"choices": [7, 8]}, "choices of train.batch lack its present value 50"),
        ("train.batch", {"low": 0.5, "high": 8}, "has fractions as bounds"),
        ("train.patience", {"low": 1, "high": 8}, "its present value None is no number"),
        ("train.decay_norms", {"low": 0, "high": 1}, "its present value True is no number"),
    ],
)
def test_a_space_that_optuna_cannot_draw_from_is_refused_before_any_trial(
    tmp_path: Path, key: str, dimension: dict[str, object], message: str
) -> None:
    root = small(tmp_path)
    raw = params.read_settings(root / "params.yaml")
    raw["train"] |= {"patience": None, "decay_norms": True}
    raw["tune"]["space"] = {key: dimension}
    (root / "params.yaml").write_text(yaml.safe_dump(raw))
    with pytest.raises(SadclError, match=message) as caught:
        study.tune(1, root=root)
    assert "tune.space" in str(caught.value)
    assert not (root / layout.OPTUNA_DATABASE).exists()


@pytest.mark.parametrize(
    ("key", "dimension", "distribution"),
    [
        ("train.batch", {"low": 4, "high": 64, "log": True}, IntDistribution(4, 64, log=True)),
        ("train.epochs", {"low": 0, "high": 1}, IntDistribution(0, 1)),
        ("train.patience", {"low": 1, "high": 8}, IntDistribution(1, 8)),
        ("train.ema_epochs", {"low": 1, "high": 8}, FloatDistribution(1, 8)),
        ("train.gradient_clip", {"low": 1, "high": 8, "log": True}, FloatDistribution(1, 8, log=True)),
        ("train.precision", {"choices": ["32-true"]}, CategoricalDistribution(["32-true"])),
    ],
)
def test_the_type_of_a_setting_decides_between_whole_numbers_and_fractions(
    key: str, dimension: dict[str, object], distribution: BaseDistribution
) -> None:
    trial = optuna.create_study().ask()
    space.suggest(trial, key, params.Range.model_validate(dimension))
    assert trial.distributions == {key: distribution}


def test_a_present_value_that_yaml_reads_as_text_is_a_number(tmp_path: Path) -> None:
    root = small(tmp_path)
    raw = params.read_settings(root / "params.yaml")
    raw["train"]["lr"] = "1e-3"
    (root / "params.yaml").write_text(yaml.safe_dump(raw))
    assert space.present(params.load(path=root / "params.yaml"), root) == {"train.lr": 1e-3}


def test_workers_that_run_end_where_another_one_cannot_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[str]] = []
    start = subprocess.Popen

    def start_one(*command: object, **options: object) -> "subprocess.Popen[str]":
        if started:
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
        started.append(start(["sleep", "600"], start_new_session=True, text=True))
        return started[0]

    monkeypatch.setattr(study.subprocess, "Popen", start_one)
    try:
        with pytest.raises(SadclError, match=r"Worker 2 of 3 can't be started: Resource .* a smaller --workers"):
            study._in_processes("a", 3, False, tmp_path)
        assert started[0].poll() is not None
    finally:
        started[0].kill()
        started[0].wait()


def test_a_stale_stage_1_is_refused(tmp_path: Path) -> None:
    root = small(tmp_path)
    pipeline.set_up(root)
    (root / "dvc.yaml").write_text(f"stages:\n  pretrain:\n    cmd: 'true'\n    outs: [{layout.PRETRAIN_WEIGHTS}]\n")
    with pytest.raises(SadclError, match=r"which is stale .* Run `dvc repro prototypes`"):
        study.tune(1, root=root)


@laws(max_examples=10, deadline=None)
@given(lr=st.floats(1e-12, 1e6), lowest=st.sampled_from([1e-5, 1e-300, 3e22, 0.1 + 0.2]))
def test_written_values_are_read_back_to_the_last_bit(tmp_path_factory, lr: float, lowest: float) -> None:
    path = tmp_path_factory.mktemp("values") / "params.yaml"
    for value in (lr, lowest):
        space.write_values(REPOSITORY / "recipes/demo.yaml", path, {"train.lr": value})
        assert params.load(path=path).train.lr == value


@pytest.mark.parametrize("recipe", sorted((REPOSITORY / "recipes").glob("*.yaml")), ids=lambda path: path.stem)
def test_writing_nothing_changes_nothing_in_a_recipe(tmp_path: Path, recipe: Path) -> None:
    space.write_values(recipe, tmp_path / "params.yaml", {})
    assert (tmp_path / "params.yaml").read_text() == recipe.read_text()


def test_the_winner_is_not_trained_twice_and_the_losers_leave_nothing(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tuned = study.tune(2, 2, apply=True)
    assert "written to recipes/tuned-sadcl-scenes-" in tuned.words
    assert tuned.words.endswith("and params.yaml")
    assert params.load().train.lr == tuned.values["train.lr"]
    assert params.read_settings(tuned.recipe) == params.read_settings()
    assert len(list(Path(".sadcl/state").iterdir())) == 1
    capsys.readouterr()
    assert f"select mAP {tuned.value:.2f}" in train.main()
    assert "epoch" not in capsys.readouterr().out
    assert not list(Path(".sadcl/state").iterdir())
    assert study.tune(2).values == tuned.values, "nothing left to try"


def test_without_optuna_nothing_of_a_search_is_needed() -> None:
    code = "import sys, sadcl.tuning.study; sys.exit('optuna' in sys.modules or 'torch' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, env=dict(os.environ), check=False).returncode == 0
    )
    assert shutil.which("optuna-dashboard", path=str(Path(sys.executable).parent))
