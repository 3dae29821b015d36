"""Projects and studies that the tests of a search use."""

from datetime import datetime
from pathlib import Path

import sqlalchemy
import yaml
from optuna.trial import TrialState

from sadcl import layout, params
from sadcl.tuning import claims, storage, study
from tests.paths import REPOSITORY

ELSEWHERE = ["elsewhere", "1:1@boot"]


def small(root: Path) -> Path:
    """A project whose search has one dimension."""
    raw = params.read_settings(REPOSITORY / "recipes/demo.yaml")
    raw["tune"] = {"trials": 3, "startup_trials": 4, "space": {"train.lr": {"low": 1e-4, "high": 2e-3, "log": True}}}
    (root / "params.yaml").write_text(yaml.safe_dump(raw))
    for path in (layout.PRETRAIN_WEIGHTS, layout.PROTOTYPES):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"weights")
    return root


def opened(root: Path, trials: int = 3, worker: int | None = 0) -> tuple[params.Params, storage.SharedStudy]:
    """The study of a project, begun with its number of trials."""
    settings = params.load(path=root / "params.yaml")
    shared = storage.open_study(study.study_name(settings, root), settings, root, worker)
    study.begin(shared, settings, trials, {}, root)
    return settings, shared


def give_to_a_silent_machine(shared: storage.SharedStudy) -> None:
    """Let the running trial be one of another machine that has given no sign of life for years."""
    [trial] = shared.study.get_trials(states=(TrialState.RUNNING,))
    shared.storage.set_trial_user_attr(trial._trial_id, claims.PROCESS, ELSEWHERE)
    with shared.storage.engine.begin() as connection:
        old = {"old": datetime(2020, 1, 1)}
        connection.execute(sqlalchemy.text("UPDATE trial_heartbeats SET heartbeat = :old"), old)
