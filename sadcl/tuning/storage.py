"""Storage of Optuna studies, and recovery of interrupted trials."""

import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sadcl import databases, files, layout, params, processes
from sadcl.errors import SadclError

if TYPE_CHECKING:
    import optuna
STORAGE_VARIABLE = "SADCL_OPTUNA_STORAGE"
"""Environment variable with another storage, such as a database server that several machines share."""

HEARTBEAT = 60
"""Seconds without a sign of life after which a trial of another machine is retried."""

RETRIES = 3
"""How often an interrupted trial is retried."""

PROCESS, ERROR = "process", "error"
"""Attributes of a trial: the process that runs it; the error of settings that can't be trained."""


def address(root: Path = Path()) -> str:
    """Address of the storage: sqlite in the project, or ``SADCL_OPTUNA_STORAGE``.

    Raises:
        SadclError: it is a database in memory, which would forget the trials.
    """
    where = os.environ.get(STORAGE_VARIABLE) or f"sqlite:///{(root / layout.OPTUNA_DATABASE).resolve()}"
    return databases.require_lasting(where, "trials", STORAGE_VARIABLE)


def open_study(name: str, settings: params.Params, root: Path = Path(), worker: int = 0) -> "optuna.Study":
    """Open a study; create it where there is none.

    Args:
        name: of the study.
        settings: seed and pruning.
        root: the project.
        worker: number of this process, which seeds its sampler.

    Raises:
        SadclError: the storage can't be used.
    """
    import optuna

    # our lines say why a trial failed; Optuna's would precede them with a traceback
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with silence_warnings(), _errors_of(address(root)):
        storage = open_storage(root)
        study = optuna.create_study(study_name=name, storage=storage, load_if_exists=True, direction="maximize")
        if not study.metric_names:
            study.set_metric_names(["select mAP, %"])  # the label of the dashboard's axes
        done = len(study.get_trials(deepcopy=False))
        # a search that goes on must not draw again what it drew at its start
        seed = settings.seed + worker if not done else int(files.digest_of([settings.seed, worker, done])[:8], 16)
        # constant_liar: workers side by side take running trials for bad ones, and do not all try the same
        study.sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
        study.pruner = optuna.pruners.MedianPruner(n_startup_trials=settings.tune.startup_trials)
    return study


def open_storage(root: Path = Path()) -> "optuna.storages.RDBStorage":
    """Open the storage at ``address``.

    Raises:
        SadclError: the storage can't be reached, or the address is no valid one.
    """
    import optuna

    where = address(root)
    (root / layout.OPTUNA_DATABASE).parent.mkdir(parents=True, exist_ok=True)
    with _errors_of(where):
        return optuna.storages.RDBStorage(
            where,
            # sqlite has one writer: the others wait for it, by default five seconds
            engine_kwargs={"connect_args": {"timeout": 60}} if where.startswith("sqlite") else None,
            heartbeat_interval=HEARTBEAT,
            heartbeat_stale_trial_callback=_retry(),
        )


def take_back(study: "optuna.Study") -> None:
    """Queue interrupted trials again with equal values; their trainings resume from their states."""
    import optuna
    from optuna.trial import TrialState

    with silence_warnings():
        # trials of other machines go by their heartbeat; those of this one at once, below, by their process
        optuna.storages.fail_stale_trials(study)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        # process id with start time: the id of a dead worker may belong to another process by now
        host, process = trial.user_attrs.get(PROCESS, ["", ""])
        if host == socket.gethostname() and not processes.is_alive(process):
            study.tell(trial.number, state=TrialState.FAIL)
    trials = study.get_trials()
    # an interrupted trial is queued once, also where two commands take it back one after another
    retried = {number for trial in trials for number in trial.system_attrs.get("retry_history", [])}
    for trial in trials:
        if trial.state == TrialState.FAIL and trial.number not in retried and ERROR not in trial.user_attrs:
            with silence_warnings():
                _retry()(study, trial)


def this_process() -> list[str]:
    """Host and process id of this process, as trials record them."""
    return [socket.gethostname(), processes.process_id(os.getpid())]


def counted_trials(study: "optuna.Study") -> int:
    """Count trials that are finished, pruned, failed for their settings, or running in another process."""
    from optuna.trial import TrialState

    # an interrupted trial does not count: it is queued again
    all_trials = study.get_trials(deepcopy=False, states=tuple(set(TrialState) - {TrialState.WAITING}))
    return sum(trial.state != TrialState.FAIL or ERROR in trial.user_attrs for trial in all_trials)


def own_trials(study: "optuna.Study") -> list["optuna.trial.FrozenTrial"]:
    """List trials that this process runs or has run."""
    return [trial for trial in study.get_trials(deepcopy=False) if trial.user_attrs.get(PROCESS) == this_process()]


@contextmanager
def silence_warnings() -> Iterator[None]:
    """Silence Optuna's warnings about experimental features and values reported twice or out of range, all intended."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _errors_of(where: str) -> Iterator[None]:
    """Convert the errors of opening a storage."""
    from optuna.exceptions import OptunaError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    # no such server, driver or address; a database of another program or version of Optuna
    except (SQLAlchemyError, OptunaError, ImportError, ValueError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise SadclError(
            f"The storage of studies can't be used: {reason}",
            where=_without_password(where),
            fix=f"Start the server, or check {STORAGE_VARIABLE}",
        ) from None


def _without_password(where: str) -> str:
    host = urlsplit(where).netloc
    return where.replace(host, host.rpartition("@")[2], 1)


def _retry() -> "optuna.storages.RetryHeartbeatStaleTrialCallback":
    import optuna

    return optuna.storages.RetryHeartbeatStaleTrialCallback(max_retry=RETRIES, inherit_intermediate_values=True)
