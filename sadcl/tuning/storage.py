"""Where studies are kept, and what becomes of trials that a kill cut short."""

import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sadcl import files, layout, params, processes
from sadcl.errors import SadclError

if TYPE_CHECKING:
    import optuna
ELSEWHERE = "SADCL_OPTUNA_STORAGE"
"""Environment: another storage, such as a database server that several machines share."""

HEARTBEAT = 60
"""Seconds; a trial of another machine that has been silent for longer is tried again."""

RETRIES = 3
"""How often a trial is begun again after a kill."""

PROCESS, ERROR = "process", "error"
"""Attributes of a trial: who runs it; why its settings could not be trained."""


def address(root: Path = Path()) -> str:
    """Where the studies are: sqlite in the project, or what ``SADCL_OPTUNA_STORAGE`` names."""
    return os.environ.get(ELSEWHERE) or f"sqlite:///{(root / layout.OPTUNA_DATABASE).resolve()}"


def open_study(name: str, settings: params.Params, root: Path = Path(), worker: int = 0) -> "optuna.Study":
    """The study of that name, made where there is none.

    Args:
        name: of the study.
        settings: seed and pruning.
        root: the project.
        worker: number of this process; its sampler has a seed of its own.

    Raises:
        SadclError: the storage can't be used.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with quiet():
        storage = open_storage(root)
        study = optuna.create_study(study_name=name, storage=storage, load_if_exists=True, direction="maximize")
        if not study.metric_names:
            study.set_metric_names(["select mAP, %"])  # what the dashboard's axes say
        done = len(study.get_trials(deepcopy=False))
        seed = settings.seed + worker if not done else int(files.digest_of([settings.seed, worker, done])[:8], 16)
        study.sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
        study.pruner = optuna.pruners.MedianPruner(n_startup_trials=settings.tune.startup_trials)
    return study


def open_storage(root: Path = Path()) -> "optuna.storages.RDBStorage":
    """The storage behind the address.

    Raises:
        SadclError: it can't be reached, or the address can be none.
    """
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    where = address(root)
    (root / layout.OPTUNA_DATABASE).parent.mkdir(parents=True, exist_ok=True)
    try:
        return optuna.storages.RDBStorage(
            where,
            engine_kwargs={"connect_args": {"timeout": 60}} if where.startswith("sqlite") else None,
            heartbeat_interval=HEARTBEAT,
            heartbeat_stale_trial_callback=_again(),
        )
    except (SQLAlchemyError, ImportError, ValueError) as error:  # no such server, driver, or address
        said = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise SadclError(
            f"The storage of studies can't be used: {said}",
            where=_without_password(where),
            fix=f"Start the server, or check {ELSEWHERE}",
        ) from None


def take_back(study: "optuna.Study") -> None:
    """Queue again, with the same values, what a kill or Ctrl-C cut short; its training goes on where it was."""
    import optuna
    from optuna.trial import TrialState

    with quiet():
        optuna.storages.fail_stale_trials(study)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        host, process = trial.user_attrs.get(PROCESS, ["", ""])
        if host == socket.gethostname() and not processes.is_alive(process):
            study.tell(trial.number, state=TrialState.FAIL)
    trials = study.get_trials()
    retried = {number for trial in trials for number in trial.system_attrs.get("retry_history", [])}
    for trial in trials:
        if trial.state == TrialState.FAIL and trial.number not in retried and ERROR not in trial.user_attrs:
            with quiet():
                _again()(study, trial)


def this_process() -> list[str]:
    """This process, as a trial notes it."""
    return [socket.gethostname(), processes.process_id(os.getpid())]


def counted_trials(study: "optuna.Study") -> int:
    """Trials that count: finished, pruned, found impossible, or running elsewhere."""
    from optuna.trial import TrialState

    all_trials = study.get_trials(deepcopy=False, states=tuple(set(TrialState) - {TrialState.WAITING}))
    return sum(trial.state != TrialState.FAIL or ERROR in trial.user_attrs for trial in all_trials)


def own_trials(study: "optuna.Study") -> list["optuna.trial.FrozenTrial"]:
    """Trials that this process runs or ran."""
    return [trial for trial in study.get_trials(deepcopy=False) if trial.user_attrs.get(PROCESS) == this_process()]


@contextmanager
def quiet() -> Iterator[None]:
    """Optuna warns of parts that are new to it, and of values reported twice or out of range: all on purpose."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _without_password(where: str) -> str:
    host = urlsplit(where).netloc
    return where.replace(host, host.rpartition("@")[2], 1)


def _again() -> "optuna.storages.RetryHeartbeatStaleTrialCallback":
    import optuna

    return optuna.storages.RetryHeartbeatStaleTrialCallback(max_retry=RETRIES, inherit_intermediate_values=True)
