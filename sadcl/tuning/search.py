"""The loop of a search: claims trials of a study one after another, trains each, and stores the result."""

import math
from collections.abc import Callable
from contextlib import chdir, suppress
from pathlib import Path

from sadcl import layout, params, processes
from sadcl.errors import SadclError
from sadcl.progress import duration, say
from sadcl.tuning import claims, space, storage, trial_states
from sadcl.tuning.outage import StorageAwayError
from sadcl.tuning.running import RunningTrial, TakenOverError, finite
from sadcl.tuning.storage import SharedStudy

IN_A_ROW = 3
"""Number of failing trials in a row that ends the search."""

Report = Callable[[int, float], None]
Objective = Callable[[params.Params, Report], float]
"""A training: takes settings and a report of each epoch's select mAP; returns the best select mAP, in percent."""


def search(shared: SharedStudy, settings: params.Params, objective: Objective, root: Path) -> None:
    """Run trials one after another until the study has its number of them.

    Raises:
        SadclError: the present settings can't be trained, ``IN_A_ROW`` trials in a row fail, or the storage has not
            answered for ten minutes.
    """
    raw, present, failures = params.read_settings(root / params.FILE), space.present(settings, root), 0
    while claimed := shared.outage.wait(lambda: claims.claim(shared, settings.tune.space)):
        trial, values = claimed
        say(f"trial {trial.number}: {space.describe(values)}")
        running = RunningTrial(shared, trial)

        def train(report: Report, number: int = trial.number, values: dict[str, object] = values) -> float:
            changed = params.parse(space.with_values(raw, values), where=f"trial {number}")
            return objective(changed, report)

        error = run(running, train, root)
        # one impossible combination is a result; a fault that spoils every trial must end the search
        failures = failures + 1 if error else 0
        if error and (values == present or failures == IN_A_ROW):
            raise SadclError(str(error).rstrip("."), where=f"trial {trial.number}")
        shared.outage.wait(lambda: trial_states.tidy(shared.study, root))


def run(running: RunningTrial, train: Callable[[Report], float], root: Path) -> SadclError | None:
    """Train a trial and store its result; the error if it has settings that can't be trained.

    Raises:
        StorageAwayError: the storage has not answered for ten minutes; the training's state stays.
    """
    with running.heartbeat():
        try:
            return _run(running, train, root)
        except TakenOverError:
            silent = duration(storage.GRACE)
            say(f"trial {running.number}: dropped; after {silent} without a sign of life it was queued again")
            return None
        except StorageAwayError:
            raise
        except BaseException:
            # interrupted: others need not wait for the end of its heartbeat
            with suppress(Exception):
                running.abandon()
            raise


def training(root: Path = Path()) -> Objective:
    """Create the objective: stage 2 on the inputs of the pipeline's stage ``train``."""

    processes.before_torch()

    def objective(settings: params.Params, report: Report) -> float:
        from sadcl.training import fit

        with chdir(root):
            trained = fit.train(settings, layout.SHARDS, layout.PRETRAIN_WEIGHTS, layout.PROTOTYPES, report=report)
        # `finite` refuses NaN, with advice
        return math.nan if trained.best_select is None else trained.best_select

    return objective


def _run(running: RunningTrial, train: Callable[[Report], float], root: Path) -> SadclError | None:
    import optuna
    from optuna.trial import TrialState

    states = trial_states.TrialStates(root)
    try:
        value = finite(train(running.report))
    except StorageAwayError:
        raise
    except optuna.TrialPruned:
        running.finish(TrialState.PRUNED)
        _forget(states, running.shared)
        return None
    except SadclError as error:
        say(f"trial {running.number}: {error}")
        running.finish(TrialState.FAIL, attributes={claims.ERROR: str(error)})
        _forget(states, running.shared)
        return error
    running.finish(TrialState.COMPLETE, value, {trial_states.ATTRIBUTE: states.names()})
    return None


def _forget(states: trial_states.TrialStates, shared: SharedStudy) -> None:
    """Remove the states of a trial that needs none; one that is interrupted keeps them, and its successor resumes."""
    trials = shared.outage.wait(lambda: shared.study.get_trials(deepcopy=False))
    states.forget(trial_states.recorded(trials))
