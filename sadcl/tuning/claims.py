"""Claims: which process runs which trial of a study, so that the study gets its number of trials and no more."""

import os
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sadcl import params, processes
from sadcl.names import counted
from sadcl.progress import say
from sadcl.tuning import space, storage
from sadcl.tuning.storage import SharedStudy

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

RETRIES = 3
"""How often an interrupted trial is run again."""

POLL = 2.0
"""Seconds between two looks at trials that run elsewhere."""

PROCESS, ERROR = "process", "error"
"""Attributes of a trial: the process that runs it; the error of settings that can't be trained."""

_HISTORY = "retry_history"
"""System attribute of a trial: the numbers of the interrupted trials that it replaces; Optuna's dashboard shows it."""


def claim(shared: SharedStudy, dimensions: dict[str, params.Range]) -> tuple["optuna.Trial", dict[str, Any]] | None:
    """Start the next trial of a study, with its values by ``section.key``; None where the study has all its trials."""
    with shared.lock(), storage.silence_warnings():
        take_back(shared)
        if counted_trials(shared.study) >= shared.total:
            return None
        trial = shared.study.ask()
        trial.set_user_attr(PROCESS, this_process())
        shared.storage.record_heartbeat(trial._trial_id)
        # under the lock, so that the next process sees these values and samples others
        return trial, {key: space.suggest(trial, key, dimension) for key, dimension in dimensions.items()}


def take_back(shared: SharedStudy) -> None:
    """Queue interrupted trials again with equal values; their trainings resume from their states.

    It needs the study's lock, and a process that runs no trial: trials in its name are rests of claims that failed.
    """
    from optuna.exceptions import UpdateFinishedTrialError
    from optuna.trial import TrialState

    study, stale = shared.study, _stale(shared)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        process: Any = trial.user_attrs.get(PROCESS)
        # claims exclude each other: a trial without a process is the rest of one that was cut off
        is_rest = process in (None, this_process())
        if is_rest or _has_ended(process, shared) or (trial._trial_id in stale and not _is_here(process)):
            with suppress(UpdateFinishedTrialError):  # it ended just now
                study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
    trials = study.get_trials(deepcopy=False)
    replaced = {number for trial in trials for number in trial.system_attrs.get(_HISTORY, [])}
    for trial in trials:
        if trial.state == TrialState.FAIL and trial.number not in replaced and ERROR not in trial.user_attrs:
            _queue_again(study, trial)


def counted_trials(study: "optuna.Study") -> int:
    """Count trials that are finished, pruned, failed for their settings, or running in some process."""
    from optuna.trial import TrialState

    # an interrupted trial does not count: it is queued again
    all_trials = study.get_trials(deepcopy=False, states=tuple(set(TrialState) - {TrialState.WAITING}))
    return sum(trial.state != TrialState.FAIL or ERROR in trial.user_attrs for trial in all_trials)


def wait_for_others(shared: SharedStudy) -> bool:
    """Wait for the trials that other processes run; True as soon as there is another trial to claim."""
    shown = 0
    while True:
        missing, running = shared.outage.wait(lambda: _open_trials(shared))
        # negative where a later search asked for fewer trials than are running
        if missing > 0 or not running:
            return missing > 0
        if len(running) != shown:
            shown = len(running)
            hosts = ", ".join(sorted({str(trial.user_attrs[PROCESS][0]) for trial in running}))
            say(f"waiting for {counted(shown, 'trial')} on {hosts}")
        time.sleep(POLL)


def this_process() -> list[str]:
    """Host and process id of this process, as trials record them."""
    return [socket.gethostname(), processes.process_id(os.getpid())]


def _open_trials(shared: SharedStudy) -> tuple[int, list["FrozenTrial"]]:
    """Number of trials that the study still lacks, and the running ones."""
    from optuna.trial import TrialState

    with shared.lock(), storage.silence_warnings():
        take_back(shared)
        running = shared.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return shared.total - counted_trials(shared.study), running


def _stale(shared: SharedStudy) -> set[int]:
    """Ids of running trials without a sign of life for ``GRACE`` seconds; none soon after an outage of the storage."""
    ended = shared.outage.ended
    # no trial could give a sign of life during the outage: all of them get the time for the next one
    if ended is not None and time.monotonic() - ended < storage.HEARTBEAT:
        return set()
    if not shared.is_local and storage.uptime(shared.storage.engine) < storage.HEARTBEAT:
        return set()
    return set(shared.storage._get_stale_trial_ids(shared.study._study_id))


def _has_ended(process: list[str], shared: SharedStudy) -> bool:
    """Whether a process of this machine has ended; those of others are known by their heartbeat alone."""
    host, name = process
    # of a file, the host is the one that wrote it; elsewhere another one may have the same name
    here = host == socket.gethostname() if shared.is_local else _is_here(process)
    return here and not processes.is_alive(name)


def _is_here(process: list[str]) -> bool:
    """Whether a process runs, or ran, on this machine since its start."""
    host, name = process
    return host == socket.gethostname() and name.endswith(f"@{processes.boot_id()}")


def _queue_again(study: "optuna.Study", trial: "FrozenTrial") -> None:
    import optuna

    history = [*trial.system_attrs.get(_HISTORY, []), trial.number]
    # without values it was interrupted before it began: the next claim draws them
    if len(history) > RETRIES or not (trial.params or "fixed_params" in trial.system_attrs):
        return
    study.add_trial(
        optuna.create_trial(
            state=optuna.trial.TrialState.WAITING,
            params=trial.params,
            distributions=trial.distributions,
            system_attrs={"failed_trial": trial.number, **trial.system_attrs, _HISTORY: history},
            # a resumed training reports no epoch a second time, and pruning compares them
            intermediate_values=trial.intermediate_values,
        )
    )
