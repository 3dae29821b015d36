"""The Optuna door: a named study in sqlite that goes on after a kill and finds a training again."""

import os
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sadcl import files, params, processes
from sadcl.errors import SadclError
from sadcl.progress import say

if TYPE_CHECKING:
    import optuna

DATABASE = Path(".sadcl/optuna.db")
SHARDS = Path("data/shards")
START, PROTOTYPES = Path("models/pretrain/weights.safetensors"), Path("models/prototypes.safetensors")
HEARTBEAT = 60
"""Seconds; a trial whose worker has been silent for longer is tried again."""

Report = Callable[[int, float], None]
Objective = Callable[[params.Params, Report], float]
"""A training: settings, and whom to tell each epoch's select mAP; returns the best select mAP."""


@dataclass(frozen=True)
class Result:
    """What a search found."""

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
        SadclError: there is no select split, no stage-1 weights, or no trial finished.
    """
    settings = _ready(root)
    name = study_name(settings, root)
    study = open_study(name, settings, root)
    study.enqueue_trial(_present(settings, root), skip_if_exists=True)
    if workers == 1:
        search(study, settings, trials, training(root), root)
    else:
        _in_processes(trials, workers, root)
    return _conclude(study, apply, root)


def search(study: "optuna.Study", settings: params.Params, trials: int, objective: Objective, root: Path) -> None:
    """Run trials one after another until the study holds ``trials`` of them."""
    import optuna

    raw = params.read(root / params.FILE)

    def trial(one: "optuna.Trial") -> float:
        chosen = {key: _suggest(one, key, where) for key, where in settings.tune.space.items()}
        say(f"trial {one.number}: " + ", ".join(f"{key} {_short(value)}" for key, value in chosen.items()))

        def report(epoch: int, value: float) -> None:
            one.report(value, epoch)
            if one.should_prune():
                raise optuna.TrialPruned

        return objective(params.parse(with_values(raw, chosen), where=f"trial {one.number}"), report)

    done = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    stop = optuna.study.MaxTrialsCallback(trials, states=done)
    if len(study.get_trials(deepcopy=False, states=done)) < trials:
        study.optimize(trial, callbacks=[stop], catch=())


def training(root: Path = Path()) -> Objective:
    """Stage 2 on shared stage-1 weights; its state stays, so that the graph finds the winner's training again."""

    def objective(settings: params.Params, report: Report) -> float:
        from sadcl.training import run

        paths = (root / SHARDS, root / START, root / PROTOTYPES)
        return run.train(settings, *paths, report=report).best_select

    return objective


def open_study(name: str, settings: params.Params, root: Path = Path(), worker: int = 0) -> "optuna.Study":
    """The study of that name, made where there is none.

    Args:
        name: of the study.
        settings: seed and pruning.
        root: the project.
        worker: number of this process; its sampler has a seed of its own.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    (root / DATABASE).parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        storage = optuna.storages.RDBStorage(
            f"sqlite:///{(root / DATABASE).resolve()}",
            engine_kwargs={"connect_args": {"timeout": 60}},
            heartbeat_interval=HEARTBEAT,
            heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(max_retry=3),
        )
    return optuna.create_study(
        study_name=name,
        storage=storage,
        load_if_exists=True,
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=settings.seed + worker),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=settings.tune.startup_trials),
    )


def study_name(settings: params.Params, root: Path = Path()) -> str:
    """The registered name, and a digest of what the trials share: another stage 1 is another study."""
    fixed = {"space": settings.tune.model_dump(mode="json")["space"], "model": settings.model.model_dump(mode="json")}
    inputs = {path.name: files.digest(root / path) for path in (START, PROTOTYPES)}
    return f"{settings.register_.name}-{files.digest_of({**fixed, **inputs, 'seed': settings.seed})[:8]}"


def dashboard_command(port: int, root: Path = Path()) -> list[str]:
    """The command that shows the studies on loopback."""
    import optuna

    (root / DATABASE).parent.mkdir(parents=True, exist_ok=True)
    address = f"sqlite:///{(root / DATABASE).resolve()}"
    if not (root / DATABASE).exists():
        optuna.storages.RDBStorage(address)
    program = Path(sys.executable).parent / "optuna-dashboard"
    return [str(program), address, "--host", "127.0.0.1", "--port", str(port)]


def with_values(raw: dict[str, Any], chosen: dict[str, Any]) -> dict[str, Any]:
    """Settings with some of them replaced: ``{"train.lr": 1e-3}``."""
    value = {name: dict(section) if isinstance(section, dict) else section for name, section in raw.items()}
    for key, new in chosen.items():
        section, _, name = key.partition(".")
        if not isinstance(value.get(section), dict) or name not in value[section]:
            raise SadclError(
                f"The space names {key!r}, which is no setting", where="tune.space", fix="Write section.key"
            )
        value[section][name] = new
    return value


def _ready(root: Path) -> params.Params:
    settings = params.load(path=root / params.FILE)
    if settings.ingest.select_fraction == 0 and "select" not in settings.ingest.annotations:
        raise SadclError(
            "There is no select split to tune on", where="ingest.select_fraction", fix="Give it a share above 0"
        )
    for path in (START, PROTOTYPES):
        if not (root / path).exists():
            raise SadclError(
                "Tuning starts from stage 1, which is not there", where=path, fix="Run `dvc repro prototypes`"
            )
    return settings


def _present(settings: params.Params, root: Path) -> dict[str, Any]:
    raw = params.read(root / params.FILE)
    present = {}
    for key in settings.tune.space:
        section, _, name = key.partition(".")
        present[key] = with_values(raw, {}).get(section, {}).get(name)
    return present


def _suggest(trial: "optuna.Trial", key: str, where: params.Range) -> Any:
    if where.choices is not None:
        return trial.suggest_categorical(key, list(where.choices))
    if where.low is None or where.high is None:
        raise SadclError(
            f"The space of {key} has neither choices nor low and high", where="tune.space", fix="Give them"
        )
    if float(where.low).is_integer() and float(where.high).is_integer() and not where.log and where.high > 1:
        return trial.suggest_int(key, int(where.low), int(where.high))
    return trial.suggest_float(key, where.low, where.high, log=where.log)


def _in_processes(trials: int, workers: int, root: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    threads = str(max((os.cpu_count() or 1) // workers, 1))

    def one(worker: int) -> None:
        command = [sys.executable, "-m", "sadcl.tuning.worker", str(worker), str(trials)]
        code, printed = processes.run(command, cwd=root, env={"OMP_NUM_THREADS": threads}, line=say)
        if code:
            last = (printed.strip().splitlines() or ["it said nothing"])[-1]
            raise SadclError(f"Worker {worker} of the search ended: {last}", fix="Run `sadcl tune` again; it goes on")

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(one, range(workers)))


def _conclude(study: "optuna.Study", apply: bool, root: Path) -> Result:
    import optuna

    finished = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    if not finished:
        raise SadclError("No trial finished", where=study.study_name, fix="Look at the lines above, then run it again")
    best = study.best_trial
    first = finished[0].value
    recipe = root / params.RECIPES / f"tuned-{study.study_name}.yaml"
    write_values(root / params.FILE, recipe, best.params)
    if apply:
        write_values(root / params.FILE, root / params.FILE, best.params)
    words = (
        f"Best select mAP {best.value:.2f} (trial {best.number} of {len(study.trials)}; the present settings gave "
        f"{first:.2f}); written to {recipe.relative_to(root)}{' and params.yaml' if apply else ''}"
    )
    return Result(study.study_name, float(best.value or 0), dict(best.params), recipe, words)


def write_values(source: Path, target: Path, values: dict[str, Any]) -> None:
    """Copy a settings file with some values replaced, its comments and order kept."""
    import io

    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 200
    yaml.representer.add_representer(
        type(None), lambda dumper, _: dumper.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    loaded = yaml.load(source.read_text(encoding="utf-8"))
    for key, value in values.items():
        section, _, name = key.partition(".")
        loaded[section][name] = value
    out = io.StringIO()
    yaml.dump(loaded, out)
    params.parse(yaml.load(out.getvalue()), where=target)
    files.write_text(target, out.getvalue())


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
