"""Hyperparameter search with Optuna: a named study that resumes, with its trainings, after an interruption."""

import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sadcl import files, layout, params, pipeline, processes
from sadcl.errors import SadclError
from sadcl.progress import say
from sadcl.tuning import space, storage, trial_states

if TYPE_CHECKING:
    import optuna
IN_A_ROW = 3
"""Number of failing trials in a row that ends the search."""

Report = Callable[[int, float], None]
Objective = Callable[[params.Params, Report], float]
"""A training: takes settings and a report of each epoch's select mAP; returns the best select mAP, in percent."""


@dataclass(frozen=True)
class Result:
    """Result of a search.

    Attributes:
        study: name of the study.
        value: the best select mAP, in percent.
        values: the settings of that trial, by ``section.key``.
        recipe: settings file with these values and all others.
        words: the result as a sentence.
    """

    study: str
    value: float
    values: dict[str, Any]
    recipe: Path
    words: str


def tune(trials: int, workers: int = 1, *, apply: bool = False, root: Path = Path()) -> Result:
    """Search until the study has ``trials`` finished trials; the present settings are the first.

    Args:
        trials: finished and pruned ones count, so a second call with the same number has nothing to do.
        workers: processes at a time, each with its own seed.
        apply: write the best settings into params.yaml; its comments stay.
        root: the project.

    Raises:
        SadclError: there is no select split, stage 1 is missing or stale, or no trial finished.
    """
    settings = _check_ready(root)
    name = study_name(settings, root)
    study = storage.open_study(name, settings, root)
    storage.take_back(study)
    # first: a search can't end below the settings that it started from
    study.enqueue_trial(space.present(settings, root), skip_if_exists=True)
    if workers == 1:
        search(study, settings, trials, training(root), root)
    elif storage.counted_trials(study) < trials:
        _in_processes(trials, workers, root)
    trial_states.tidy(study, root)
    return conclude(study, apply, root)


def search(study: "optuna.Study", settings: params.Params, trials: int, objective: Objective, root: Path) -> None:
    """Run trials one after another until the study has ``trials`` of them.

    Raises:
        SadclError: the present settings can't be trained, or ``IN_A_ROW`` trials in a row fail.
    """
    raw, present, failures = params.read_settings(root / params.FILE), space.present(settings, root), 0

    def run(trial: "optuna.Trial") -> float:
        # first of all: a trial that is killed is recognised by it, without a wait for its heartbeat
        trial.set_user_attr(storage.PROCESS, storage.this_process())
        values = {key: space.suggest(trial, key, dimension) for key, dimension in settings.tune.space.items()}
        say(f"trial {trial.number}: {space.describe(values)}")
        changed = params.parse(space.with_values(raw, values), where=f"trial {trial.number}")
        with _states(study, trial, root):
            return _finite(objective(changed, lambda epoch, value: _report(trial, epoch, _finite(value))))

    while storage.counted_trials(study) < trials:
        with storage.silence_warnings():
            # one at a time: workers share the count, and the errors are looked at in between
            study.optimize(run, n_trials=1, catch=(SadclError,))
        last = max(storage.own_trials(study), key=lambda trial: trial.number)
        # one impossible combination is a result; a fault that spoils every trial must end the search
        failures = failures + 1 if storage.ERROR in last.user_attrs else 0
        if failures and (last.params == present or failures == IN_A_ROW):
            raise SadclError(str(last.user_attrs[storage.ERROR]).rstrip("."), where=f"trial {last.number}")
        trial_states.tidy(study, root)


def training(root: Path = Path()) -> Objective:
    """Create the objective: stage 2 on the inputs of the pipeline's stage ``train``."""

    processes.before_torch()

    def objective(settings: params.Params, report: Report) -> float:
        from sadcl.training import fit

        with chdir(root):
            return fit.train(
                settings, layout.SHARDS, layout.PRETRAIN_WEIGHTS, layout.PROTOTYPES, report=report
            ).best_select

    return objective


def study_name(settings: params.Params, root: Path = Path()) -> str:
    """Name of the study: the registered name, and a digest of all that the trials share, stage 1's weights included."""
    searched = set(settings.tune.space)
    # what is searched differs between trials; everything else has to be equal, or their scores can't be compared
    fit = {key: v for key, v in settings.train.model_dump(mode="json").items() if f"train.{key}" not in searched}
    shared = {
        "space": settings.tune.model_dump(mode="json")["space"],
        "model": settings.model.model_dump(mode="json"),
        "train": fit,
        "seed": settings.seed,
        "inputs": {path.name: files.digest(root / path) for path in (layout.PRETRAIN_WEIGHTS, layout.PROTOTYPES)},
    }
    return f"{settings.register_.name}-{files.digest_of(shared)[:8]}"


def conclude(study: "optuna.Study", apply: bool, root: Path) -> Result:
    """Write the best settings as a recipe, and with ``apply`` into params.yaml.

    Raises:
        SadclError: no trial finished.
    """
    from optuna.trial import TrialState

    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not finished:
        raise SadclError(
            "No trial finished", where=study.study_name, fix="Read the lines above, then run `sadcl tune` again"
        )
    present = space.present(params.load(path=root / params.FILE), root)
    before = max((trial.value or 0.0 for trial in finished if trial.params == present), default=None)
    best = study.best_trial
    recipe = root / params.RECIPES / f"tuned-{study.study_name}.yaml"
    for target in [recipe, root / params.FILE] if apply else [recipe]:
        space.write_values(root / params.FILE, target, best.params)
    words = (
        f"Best select mAP {best.value:.2f} of {len(finished)} finished trials"
        f"{'' if before is None else f' (the present settings gave {before:.2f})'}, "
        f"with {space.describe(best.params)}; "
        f"written to {recipe.relative_to(root)}{' and params.yaml' if apply else ''}"
    )
    return Result(study.study_name, float(best.value or 0), dict(best.params), recipe, words)


def _check_ready(root: Path) -> params.Params:
    """Load the settings; raise where the select split or up-to-date results of stage 1 are missing."""
    settings = params.load(path=root / params.FILE)
    if settings.ingest.select_fraction == 0 and "select" not in settings.ingest.annotations:
        raise SadclError(
            "There is no select split to tune on", where="ingest.select_fraction", fix="Set a share above 0"
        )
    if not settings.model.has_stage_2:
        problem = f"Tuning searches stage 2, which the head {settings.model.head} does not have"
        raise SadclError(problem, where="model.head", fix="Set model.head to sarl, then run `dvc repro`")
    space.present(settings, root)
    fix = "Run `dvc repro prototypes`"
    for path in (layout.PRETRAIN_WEIGHTS, layout.PROTOTYPES):
        if not (root / path).exists():
            raise SadclError("Tuning starts from stage 1, which is missing", where=path, fix=fix)
    # stale weights would start every trial from settings or data that no longer hold
    stale = pipeline.stale(root)
    for stage in pipeline.stages(root):
        if stage.name in stale and {str(layout.PRETRAIN_WEIGHTS), str(layout.PROTOTYPES)} & set(stage.outs):
            raise SadclError("Tuning starts from stage 1, which is stale", where=stale[stage.name][0], fix=fix)
    return settings


def _report(trial: "optuna.Trial", epoch: int, value: float) -> None:
    """Report an epoch to Optuna; prune a trial below the median of the same epoch."""
    import optuna

    trial.report(value, epoch)
    if trial.should_prune():
        say(f"trial {trial.number}: pruned after epoch {epoch + 1}, below the median")
        raise optuna.TrialPruned


def _finite(value: float) -> float:
    """Check a select mAP: Optuna would count a trial without one as interrupted, and begin it again and again."""
    if not math.isfinite(value):
        raise SadclError(
            "The select mAP is no number", where="select", fix="Label photos of the select split, then run `dvc repro`"
        )
    return value


@contextmanager
def _states(study: "optuna.Study", trial: "optuna.Trial", root: Path) -> Iterator[None]:
    """Record the states of a trial's training; remove them where the trial fails or is pruned."""
    import optuna

    states = trial_states.TrialStates(root)
    try:
        yield
    except (SadclError, optuna.TrialPruned) as error:
        if isinstance(error, SadclError):
            say(f"trial {trial.number}: {error}")
            trial.set_user_attr(storage.ERROR, str(error))
        # an interrupted trial does not come here and keeps its states: its retry resumes from them
        states.forget(trial_states.recorded(study.get_trials(deepcopy=False)))
        raise
    trial.set_user_attr(trial_states.ATTRIBUTE, states.names())


def _in_processes(trials: int, workers: int, root: Path) -> None:
    """Run several workers on one study; they end with this process.

    Raises:
        SadclError: a worker failed; the others finish their share first.
    """
    # torch would start a thread for each core in each worker
    threads = str(max((os.cpu_count() or 1) // workers, 1))
    # a killed search must not leave its workers behind: they watch this process, and all that it watches
    owners = ",".join(filter(None, [os.environ.get(processes.OWNERS), processes.process_id(os.getpid())]))
    environment = {"OMP_NUM_THREADS": threads, **processes.child_environment(), processes.OWNERS: owners}
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "sadcl.tuning.worker", str(number), str(trials)],
            cwd=root, env=environment, text=True, start_new_session=True,
        )
        for number in range(workers)
    ]  # fmt: skip
    try:
        # all of them, before any error is raised: the others' trials are worth keeping
        codes = [worker.wait() for worker in running]
    except BaseException:
        for worker in running:
            processes.end_group(worker)
        raise
    if any(codes):
        raise SadclError(
            f"A worker of the search ended with status {next(filter(None, codes))}",
            fix="Read its lines above, then run `sadcl tune` again; the study continues",
        )
