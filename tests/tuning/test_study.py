"""The search: present settings first, goes on after a kill, prunes, writes settings with their comments."""

import os
import shutil
import sqlite3
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import optuna
import pytest

from sadcl import files, layout, params, processes
from sadcl.errors import SadclError
from sadcl.tuning import search, space, storage, study, trial_states
from tests.paths import REPOSITORY
from tests.tuning.projects import opened

NEEDS_DRIVER = pytest.mark.skipif(find_spec("psycopg") is None, reason="psycopg is not installed")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "params.yaml").write_text((REPOSITORY / "recipes/demo.yaml").read_text())
    for path in (layout.PRETRAIN_WEIGHTS, layout.PROTOTYPES):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"weights")
    return tmp_path


def best_near(lr: float) -> search.Objective:
    def objective(settings: params.Params, report: search.Report) -> float:
        value = 80 - 1e4 * abs(settings.train.lr - lr)
        for epoch in range(settings.train.epochs):
            report(epoch, value)
        return value

    return objective


def run(root: Path, trials: int, objective: search.Objective) -> optuna.Study:
    settings, shared = opened(root, trials)
    search.search(shared, settings, objective, root)
    return shared.study


def test_the_present_settings_are_the_first_trial(root: Path) -> None:
    tuned = run(root, 3, best_near(1e-3))
    present = params.load(path=root / "params.yaml").train
    assert tuned.trials[0].params["train.lr"] == present.lr
    assert tuned.trials[0].params["train.sample_to_sample"] == present.sample_to_sample
    assert tuned.metric_names == ["select mAP, %"]  # what the dashboard's axes say


def test_a_study_goes_on_where_it_was(root: Path) -> None:
    run(root, 2, best_near(1e-3))
    assert len(run(root, 5, best_near(1e-3)).trials) == 5
    assert len(run(root, 5, best_near(1e-3)).trials) == 5, "nothing left to do"


def test_a_killed_trial_leaves_the_study_usable(root: Path) -> None:
    def killed(settings: params.Params, report: search.Report) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(root, 3, killed)
    finished = run(root, 3, best_near(1e-3)).get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    assert len(finished) == 3


def test_hopeless_trials_are_pruned(root: Path) -> None:
    calls = iter(range(100))

    def worse_and_worse(settings: params.Params, report: search.Report) -> float:
        value = 50.0 - next(calls)
        for epoch in range(3):
            report(epoch, value)
        return value

    states = [trial.state for trial in run(root, 8, worse_and_worse).trials]
    assert optuna.trial.TrialState.PRUNED in states[4:]
    assert optuna.trial.TrialState.PRUNED not in states[:4]


def test_the_best_settings_become_a_recipe_and_keep_comments(root: Path) -> None:
    tuned = run(root, 6, best_near(1e-3))
    result = study.conclude(tuned, True, root)
    applied = (root / "params.yaml").read_text()
    assert applied.startswith("# demo:")
    assert "patience: null" in applied
    assert params.load(path=root / "params.yaml").train.lr == result.values["train.lr"]
    assert params.load(path=result.recipe).train.lr == result.values["train.lr"]


def test_without_a_select_split_or_stage_1_it_is_refused(root: Path) -> None:
    (root / layout.PRETRAIN_WEIGHTS).unlink()
    with pytest.raises(SadclError, match="stage 1"):
        study.tune(1, root=root)
    text = (root / "params.yaml").read_text()
    lines = [line for line in text.splitlines() if "instances_select" not in line and "images/select" not in line]
    (root / "params.yaml").write_text("\n".join(lines).replace("select_fraction: 0.2", "select_fraction: 0"))
    with pytest.raises(SadclError, match="no select split"):
        study.tune(1, root=root)


def test_a_space_that_names_no_setting_is_refused(root: Path) -> None:
    with pytest.raises(SadclError, match=r"train\.speed"):
        space.with_values(params.read_settings(root / "params.yaml"), {"train.speed": 1})


@pytest.mark.parametrize("address", ["sqlite://", "sqlite:///:memory:"])
def test_a_storage_that_forgets_is_refused(address: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(processes.OPTUNA_STORAGE, address)
    with pytest.raises(SadclError, match="forgets all trials"):
        storage.open_study("a", params.load(path=root / "params.yaml"), root)


def test_a_database_of_another_program_is_a_sentence(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(tmp_path / "other.db")) as database:
        database.execute("create table trials (name)")
    monkeypatch.setenv(processes.OPTUNA_STORAGE, f"sqlite:///{tmp_path}/other.db")
    with pytest.raises(SadclError, match="can't be used"):
        storage.open_study("a", params.load(path=root / "params.yaml"), root)


@pytest.mark.parametrize(
    "address",
    [
        "sqlite:////proc/none/o.db",
        "nonsense://ann:secret@x",
        "no address",
        pytest.param("postgresql://ann:secret@127.0.0.1:9/x", marks=NEEDS_DRIVER),
    ],
)
def test_a_storage_that_can_not_be_reached_is_a_sentence(
    address: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = params.load(path=root / "params.yaml")
    monkeypatch.setenv(processes.OPTUNA_STORAGE, address)
    with pytest.raises(SadclError, match="can't be used") as caught:
        storage.open_study("a", settings, root)
    assert "check SADCL_OPTUNA_STORAGE" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_search_in_a_folder_with_an_at_sign_uses_its_sqlite_file() -> None:
    assert (
        storage.database_url("sqlite:////home/ann@example.org/optuna.db").database == "/home/ann@example.org/optuna.db"
    )


def test_a_state_that_another_worker_removes_meanwhile_is_left_out(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states, read_text = trial_states.TrialStates(root), Path.read_text
    for name in ("a", "b"):
        files.write_text(states.folder / name / "lock", f"pid {os.getpid()}")

    def read_after_removal(path: Path) -> str:
        shutil.rmtree(states.folder / "b", ignore_errors=True)
        return read_text(path)

    monkeypatch.setattr(Path, "read_text", read_after_removal)
    assert states.names() == ["a"]


def test_names_of_states_in_the_database_reach_no_other_folder(root: Path) -> None:
    """A shared database takes names from everybody who has an account."""
    state = root / layout.TRAINING_STATE / ("0" * 32)
    state.mkdir(parents=True)
    searched = optuna.create_study(direction="maximize")
    hostile = ["../../models", str(root / "recipes"), "", ".", 7, "0" * 32]
    searched.add_trial(optuna.trial.create_trial(value=1.0, user_attrs={trial_states.ATTRIBUTE: hostile}))
    searched.add_trial(optuna.trial.create_trial(value=2.0))
    trial_states.tidy(searched, root)
    assert not state.exists()
    assert (root / "recipes").is_dir()
    assert (root / "params.yaml").exists()
    assert (root / layout.PROTOTYPES).exists()
