"""Training states of a search's trials: the best trial's stays, so that it is never trained twice; others go."""

import os
import re
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sadcl import layout

if TYPE_CHECKING:
    import optuna
ATTRIBUTE = "states"
"""Attribute of a finished trial with the names of its states."""


NAME = re.compile("[0-9a-f]{32}")
"""Name of a state: the start of a digest."""


class TrialStates:
    """States that this process writes from now on, recognised by the trainer's lock file in each."""

    def __init__(self, root: Path) -> None:
        # a second early: times of files may lag behind the clock
        self.folder, self.since = root / layout.TRAINING_STATE, time.time() - 1

    def names(self) -> list[str]:
        """Names of the states written or resumed so far."""
        names = []
        for lock in self.folder.glob("*/lock"):
            # workers write their states into the same folder, and another one may remove its own meanwhile
            with suppress(OSError):
                if lock.read_text() == f"pid {os.getpid()}" and lock.stat().st_mtime >= self.since:
                    names.append(lock.parent.name)
        return sorted(names)

    def forget(self, keep: set[str]) -> None:
        """Remove these states, except ``keep``, the states of other trials."""
        for name in set(self.names()) - keep:
            shutil.rmtree(self.folder / name, ignore_errors=True)


def recorded(trials: "Iterable[optuna.trial.FrozenTrial]") -> set[str]:
    """Names of the states that trials recorded; a text that is no name of a state is left out."""
    # others write to a shared database too, and these names become folders to delete
    recorded_names = (name for trial in trials for name in trial.user_attrs.get(ATTRIBUTE, []))
    return {name for name in recorded_names if isinstance(name, str) and NAME.fullmatch(name)}


def tidy(study: "optuna.Study", root: Path) -> None:
    """Delete all states but those of the best trial."""
    from optuna.trial import TrialState

    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    for name in recorded(finished) - recorded([study.best_trial] if finished else []):
        shutil.rmtree(root / layout.TRAINING_STATE / name, ignore_errors=True)
