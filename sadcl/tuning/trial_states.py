"""Trainers' states of a search: the best trial's stays, so that its training is never done twice; others go."""

import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from sadcl import layout

if TYPE_CHECKING:
    import optuna
ATTRIBUTE = "states"
"""Of a finished trial: the names of its states."""


class TrialStates:
    """The states that this process writes from now on, known by the lock that a trainer leaves in each."""

    def __init__(self, root: Path) -> None:
        self.folder, self.since = root / layout.TRAINING_STATE, time.time() - 1

    def names(self) -> list[str]:
        """Those written, or gone on with, so far."""
        locks = [lock for lock in self.folder.glob("*/lock") if lock.read_text() == f"pid {os.getpid()}"]
        return sorted(lock.parent.name for lock in locks if lock.stat().st_mtime >= self.since)

    def forget(self, keep: set[str]) -> None:
        """Remove them, except those that belong to other trials too."""
        for name in set(self.names()) - keep:
            shutil.rmtree(self.folder / name, ignore_errors=True)


def kept(trials: "Iterable[optuna.trial.FrozenTrial]") -> set[str]:
    """States that these trials left."""
    return {name for trial in trials for name in trial.user_attrs.get(ATTRIBUTE, [])}


def tidy(study: "optuna.Study", root: Path) -> None:
    """Keep the best trial's state only."""
    from optuna.trial import TrialState

    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    for name in kept(finished) - kept([study.best_trial] if finished else []):
        shutil.rmtree(root / layout.TRAINING_STATE / name, ignore_errors=True)
