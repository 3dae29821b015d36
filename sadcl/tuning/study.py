"""The Optuna door: a named study in sqlite that goes on after a kill and finds a training again."""

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
"""How many failing trials in a row end the search."""

Report = Callable[[int, float], None]
Objective = Callable[[params.Params, Report], float]
"""A training: settings, and whom to tell each epoch's select mAP; returns the best select mAP."""


@dataclass(frozen=True)
class Result:
    """What a search found.

    Attributes:
        study: its name.
        value: the best select mAP, in percent.
        values: the settings that gave it, by ``section.key``.
        recipe: the file that holds them, with all others.
        words: the same as a sentence.
    """

    study: str
    value: float
    values: dict[str, Any]
    recipe: Path
    words: str


def tune(trials: int, workers: int = 1, *, apply: bool = False, root: Path = Path()) -> Result:
    """Search until the study holds ``trials`` finished trials; the present settings are the first of them.

    Args:
        trials: finished and pruned ones count; a second call with the same number has nothing to do.
        workers: processes at a time, each with a seed of its own.
        apply: write the best settings into params.yaml, comments kept.
        root: the project.

    Raises:
        SadclError: there is no select split, stage 1 is missing or stale, or no trial finished.
    """
    settings = _ready(root)
    name = study_name(settings, root)
    study = storage.open_study(name, settings, root)
    storage.take_back(study)
    study.enqueue_trial(space.present(settings, root), skip_if_exists=True)
    if workers == 1:
        search(study, settings, trials, training(root), root)
    elif storage.counted_trials(study) < trials:
        _in_processes(trials, workers, root)
    trial_states.tidy(study, root)
    return conclude(study, apply, root)


def search(study: "optuna.Study", settings: params.Params, trials: int, objective: Objective, root: Path) -> None:
    """Run trials one after another until the study holds ``trials`` of them.

    Raises:
        SadclError: the present settings can't be trained, or several trials in a row could not.
    """
    raw, present, failures = params.read_settings(root / params.FILE), space.present(settings, root), 0

    def trial(one: "optuna.Trial") -> float:
        one.set_user_attr(storage.PROCESS, storage.this_process())
        chosen = {key: space.suggest(one, key, where) for key, where in settings.tune.space.items()}
        say(f"trial {one.number}: {space.describe(chosen)}")
        wanted = params.parse(space.with_values(raw, chosen), where=f"trial {one.number}")
        with _states(study, one, root):
            return objective(wanted, lambda epoch, value: _report(one, epoch, value))

    while storage.counted_trials(study) < trials:
        with storage.quiet():
            study.optimize(trial, n_trials=1, catch=(SadclError,))
        last = max(storage.own_trials(study), key=lambda done: done.number)
        failures = failures + 1 if storage.ERROR in last.user_attrs else 0
        if failures and (last.params == present or failures == IN_A_ROW):
            raise SadclError(str(last.user_attrs[storage.ERROR]).rstrip("."), where=f"trial {last.number}")
        trial_states.tidy(study, root)


def training(root: Path = Path()) -> Objective:
    """Stage 2 on shared stage-1 weights, from the very inputs that the graph's stage has."""

    processes.before_torch()

    def objective(settings: params.Params, report: Report) -> float:
        from sadcl.training import fit as run

        with chdir(root):
            return run.train(
                settings, layout.SHARDS, layout.PRETRAIN_WEIGHTS, layout.PROTOTYPES, report=report
            ).best_select

    return objective


def study_name(settings: params.Params, root: Path = Path()) -> str:
    """The registered name, and a digest of what the trials share: another stage 1 is another study."""
    searched = set(settings.tune.space)
    fit = {key: v for key, v in settings.train.model_dump(mode="json").items() if f"train.{key}" not in searched}
    shared = {
        "space": settings.tune.model_dump(mode="json")["space"],
        "model": settings.model.model_dump(mode="json"),
        "train": fit,
        "seed": settings.seed,
        "inputs": {path.name: files.digest(root / path) for path in (layout.PRETRAIN_WEIGHTS, layout.PROTOTYPES)},
    }
    return f"{settings.register_.name}-{files.digest_of(shared)[:8]}"


def dashboard_command(port: int, root: Path = Path()) -> list[str]:
    """The command that shows the studies on loopback."""
    with storage.quiet():
        storage.open_storage(root)
    program = Path(sys.executable).parent / "optuna-dashboard"
    return [str(program), storage.address(root), "--host", "127.0.0.1", "--port", str(port)]


def conclude(study: "optuna.Study", apply: bool, root: Path) -> Result:
    """Write the best settings as a recipe, and with ``apply`` into params.yaml.

    Raises:
        SadclError: no trial finished.
    """
    from optuna.trial import TrialState

    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not finished:
        raise SadclError("No trial finished", where=study.study_name, fix="Look at the lines above, then run it again")
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


def _ready(root: Path) -> params.Params:
    settings = params.load(path=root / params.FILE)
    if settings.ingest.select_fraction == 0 and "select" not in settings.ingest.annotations:
        raise SadclError(
            "There is no select split to tune on", where="ingest.select_fraction", fix="Give it a share above 0"
        )
    space.present(settings, root)
    mend = "Run `dvc repro prototypes`"
    for path in (layout.PRETRAIN_WEIGHTS, layout.PROTOTYPES):
        if not (root / path).exists():
            raise SadclError("Tuning starts from stage 1, which is not there", where=path, fix=mend)
    stale = pipeline.stale(root)
    for stage in pipeline.stages(root):
        if stage.name in stale and {str(layout.PRETRAIN_WEIGHTS), str(layout.PROTOTYPES)} & set(stage.outs):
            raise SadclError("Tuning starts from stage 1, which is stale", where=stale[stage.name][0], fix=mend)
    return settings


def _report(trial: "optuna.Trial", epoch: int, value: float) -> None:
    """Tell Optuna; a trial that is worse than the median at the same epoch ends here."""
    import optuna

    trial.report(value, epoch)
    if trial.should_prune():
        say(f"trial {trial.number}: worse than the median after epoch {epoch + 1}, so it ends")
        raise optuna.TrialPruned


@contextmanager
def _states(study: "optuna.Study", trial: "optuna.Trial", root: Path) -> Iterator[None]:
    """Note the states that a trial leaves, or remove them where nothing will come of it."""
    import optuna

    watch = trial_states.TrialStates(root)
    try:
        yield
    except (SadclError, optuna.TrialPruned) as error:
        if isinstance(error, SadclError):
            say(f"trial {trial.number}: {error}")
            trial.set_user_attr(storage.ERROR, str(error))
        watch.forget(trial_states.kept(study.get_trials(deepcopy=False)))
        raise
    trial.set_user_attr(trial_states.ATTRIBUTE, watch.names())


def _in_processes(trials: int, workers: int, root: Path) -> None:
    """Several workers on one study; whatever ends us ends them.

    Raises:
        SadclError: one failed; the others finish their share first.
    """
    threads = str(max((os.cpu_count() or 1) // workers, 1))
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
        codes = [worker.wait() for worker in running]
    except BaseException:
        for worker in running:
            processes.end_group(worker)
        raise
    if any(codes):
        raise SadclError(
            f"A worker of the search ended with status {next(filter(None, codes))}",
            fix="Its lines above say why; run `sadcl tune` again, it goes on",
        )
