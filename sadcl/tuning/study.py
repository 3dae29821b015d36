"""Hyperparameter search with Optuna: a named study that resumes, with its trainings, and that other machines join."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sadcl import databases, files, layout, params, pipeline, processes
from sadcl.errors import SadclError
from sadcl.progress import say
from sadcl.tuning import claims, conditions, search, space, storage, trial_states
from sadcl.tuning.storage import SharedStudy

if TYPE_CHECKING:
    import optuna


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


def tune(trials: int | None = None, workers: int = 1, *, apply: bool = False, root: Path = Path()) -> Result:
    """Search until the study has all its trials, those that other machines run included.

    Args:
        trials: number of trials of the study, by default ``tune.trials``; finished and pruned ones count, so a second
            call with the same number has nothing to do. The present settings are the first.
        workers: processes at a time, each with its own seed.
        apply: write the best settings into params.yaml; its comments stay.
        root: the project.

    Raises:
        SadclError: there is no select split, stage 1 is missing or stale, no trial finished, or the storage can't be
            used.
    """
    settings = _check_ready(root)
    shared = storage.open_study(study_name(settings, root), settings, root)
    here = conditions.present(settings, root)
    shared.outage.wait(lambda: begin(shared, settings, trials or settings.tune.trials, here, root))
    while claims.wait_for_others(shared):
        _search(shared, settings, workers, root)
    return shared.outage.wait(lambda: conclude(shared.study, apply, root))


def join(name: str | None = None, workers: int = 1, root: Path = Path()) -> str:
    """Run trials of a study that another machine has started, until none is left to start; returns a sentence.

    Args:
        name: of the study; by default the one with this project's settings.
        workers: processes at a time.
        root: the project.

    Raises:
        SadclError: there is no such study, or settings, data, code or versions differ from those at its start.
    """
    settings = _check_ready(root)
    chosen = _study_to_join(name, settings, root)
    shared = storage.open_study(chosen, settings, root, worker=None, create=False)
    recorded = shared.outage.wait(lambda: shared.study.user_attrs.get(conditions.ATTRIBUTE))
    conditions.require_equal(chosen, recorded, conditions.present(settings, root))
    _search(shared, settings, workers, root, joined=True)
    return shared.outage.wait(lambda: _describe(shared))


def begin(shared: SharedStudy, settings: params.Params, trials: int, here: conditions.Conditions, root: Path) -> None:
    """Record number of trials and conditions in a study, and queue the present settings as its first trial."""
    study = shared.study
    with shared.lock(), storage.silence_warnings():
        study.set_user_attr(storage.TRIALS, trials)
        recorded = study.user_attrs.get(conditions.ATTRIBUTE)
        if recorded is None:
            study.set_user_attr(conditions.ATTRIBUTE, here)
        # first: a search can't end below the settings that it started from
        study.enqueue_trial(space.present(settings, root), skip_if_exists=True)
    differing = conditions.differences(recorded, here) if recorded else []
    if differing:
        say(f"note: this differs from the start of the study, and scores may too: {conditions.describe(differing)}")


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


def _study_to_join(name: str | None, settings: params.Params, root: Path) -> str:
    """Name of the study to join: as the command, the settings or the latest study of the model say."""
    names, own = storage.study_names(root), study_name(settings, root)
    wanted = name or own
    if wanted in names:
        return wanted
    where = databases.without_login(storage.address(root))
    if name is not None:
        known = ", ".join(names[-3:]) or "none"
        raise SadclError(f"There is no study {name}", where=where, fix=f"The latest are: {known}")
    latest = [other for other in names if other.startswith(f"{settings.register_.name}-")][-1:]
    if not latest:
        fix = f"Run `sadcl tune` on one machine first, with the same {processes.OPTUNA_STORAGE}"
        raise SadclError("There is no study to join", where=where, fix=fix)
    # another name means other settings or data; comparing with it says which
    return latest[0]


def _describe(shared: SharedStudy) -> str:
    """Summary of the study for a machine that joined it."""
    from optuna.trial import TrialState

    study, trials = shared.study, shared.study.get_trials(deepcopy=False)
    running = sum(trial.state == TrialState.RUNNING for trial in trials)
    best = max((trial.value or 0.0 for trial in trials if trial.state == TrialState.COMPLETE), default=None)
    return (
        f"The study {study.study_name} has its {shared.total} trials"
        f"{f', {running} of them still running' if running else ''}"
        f"{'' if best is None else f'; best select mAP so far {best:.2f}'}"
    )


def _search(shared: SharedStudy, settings: params.Params, workers: int, root: Path, *, joined: bool = False) -> None:
    """Run trials in this process, or in several, until none is left to start."""
    if workers == 1:
        search.search(shared, settings, search.training(root), root)
    else:
        _in_processes(shared.study.study_name, workers, joined, root)
    shared.outage.wait(lambda: trial_states.tidy(shared.study, root))


def _in_processes(study: str, workers: int, joined: bool, root: Path) -> None:
    """Run several workers on one study; they end with this process.

    Raises:
        SadclError: a worker can't be started, or failed; the others finish their share first.
    """
    # torch would start a thread for each core in each worker
    threads = str(max((os.cpu_count() or 1) // workers, 1))
    # a killed search must not leave its workers behind: they watch this process, and all that it watches
    owners = ",".join(filter(None, [os.environ.get(processes.OWNERS), processes.process_id(os.getpid())]))
    environment = {
        "OMP_NUM_THREADS": threads,
        **processes.child_environment(processes.OPTUNA_STORAGE),
        processes.OWNERS: owners,
    }
    running: list[subprocess.Popen[str]] = []
    try:
        for number in range(workers):
            command = [sys.executable, "-m", "sadcl.tuning.worker", study, "joined" if joined else str(number)]
            running.append(subprocess.Popen(command, cwd=root, env=environment, text=True, start_new_session=True))
        # all of them, before any error is raised: the others' trials are worth keeping
        codes = [worker.wait() for worker in running]
    except BaseException as error:
        for worker in running:
            processes.end_group(worker)
        if isinstance(error, OSError):
            problem = f"Worker {len(running) + 1} of {workers} can't be started: {error.strerror}"
            raise SadclError(problem, fix="Search with a smaller --workers") from error
        raise
    if any(codes):
        raise SadclError(
            f"A worker of the search ended with status {next(filter(None, codes))}",
            fix="Read its lines above, then run `sadcl tune` again; the study continues",
        )
