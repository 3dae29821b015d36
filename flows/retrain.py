"""Prefect flow that retrains and registers a model, one task per DVC stage: ``python -m flows.retrain``.

A manual run works in place and commits only with ``--commit``. A scheduled run works in a git worktree and leaves its
result on a branch for a person to merge.
"""

import argparse
import os
import sys
import time
from contextlib import ExitStack
from datetime import date
from itertools import takewhile
from pathlib import Path
from typing import Any

from flows import environment

environment.prepare()  # before Prefect is imported

from prefect import State, flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed

from flows import outcomes, pages, runs, watch
from flows.messages import install_log_filter, run_command, translate_errors
from sadcl import files, layout, params, pipeline, processes
from sadcl.errors import SadclError
from sadcl.names import counted
from sadcl.progress import duration
from sadcl.project import cleanup, worktree

HOOKS: list[Any] = [outcomes.report]
UNCHANGED = "unchanged"
TUNED = "train"
"""Stage whose settings are tuned; the search runs before it and after the stages that it depends on."""

WITH_LOGIN = {"sync", "register"}
"""Subcommands that use the registry and get the login of the flow; stages and searches get none."""

INPUT = {"ingest", "prepare"}
"""Stages that read from disks and networks, where a second attempt may succeed."""

ATTEMPTS, PAUSE = 3, 10
"""Attempts of such a stage, and seconds between them."""

COMMAND = "from sadcl import cli, processes; processes.end_with_parents(); cli.main()"
"""Code of a subcommand: a search trains in its process, so it has to end with the flow."""


def _is_retryable(_task: Any, _run: Any, state: State[Any]) -> bool:
    error = state.result(raise_on_failure=False)
    return not isinstance(error, SadclError) or (isinstance(error, pipeline.StageError) and error.retry_may_help)


@flow(name="retrain", on_completion=HOOKS, on_failure=HOOKS, on_crashed=HOOKS, on_cancellation=HOOKS)
def retrain(
    commit: bool = False,
    tune_trials: int = 0,
    publish: bool = True,
    scheduled: bool = False,
    root: Path = Path("."),
    base: str = "HEAD",
) -> State[Any]:
    """Run all stale stages, then register the model.

    Args:
        commit: whether a manual run commits ``dvc.lock`` and the settings; a scheduled run always does, on its branch.
        tune_trials: total number of trials of a search for settings of stage 2; 0 for none. A head without stage 2 has
            none to search.
        publish: whether to register the model.
        scheduled: whether to work in a git worktree.
        root: the project's folder.
        base: commit that a scheduled run starts from.

    Returns:
        A completed state, named ``unchanged`` if no stage was stale, and ``UNDER_WAY`` if another run works here.

    Raises:
        SadclError: a stage fails, the registry refuses the model, or a lock file can't be opened.
    """
    install_log_filter()
    if os.environ.get(runs.RUN_VARIABLE):
        processes.end_with_parents()
    root = Path(root).resolve()
    _record_next_date(root)  # however this run ends
    with ExitStack() as stack:
        try:
            with files.lock(root / cleanup.LOCK, "cleaning", wait=True):
                # of the kernel, which frees it at any end of this process; a limit in Prefect would outlast a power cut
                stack.enter_context(files.lock(root / layout.RETRAIN_LOCK, "retraining this project"))
        except files.LockedError as error:
            return Completed(name=outcomes.UNDER_WAY, message=f"{error.what}; this run did nothing.")
        stack.enter_context(runs.recorded(root))
        _close_lost_runs(root)
        if not scheduled:
            return _loop(root, tune_trials, publish, "HEAD" if commit else "")
        tree = stack.enter_context(worktree.temporary_worktree(root, "retrain", date.today(), base))
        return _loop(tree.root, tune_trials, publish, tree.branch)


def _record_next_date(root: Path) -> None:
    """Record when the next run is due, where the present one belongs to a deployment."""
    try:
        if runs.is_deployed():
            watch.refresh(root)
    except Exception as error:  # any: the date is no reason to fail this run
        get_run_logger().warning("The next date could not be recorded: %s", error)


def _close_lost_runs(root: Path) -> None:
    """Close earlier runs whose process has ended, whose training this run goes on with."""
    log = get_run_logger()
    try:
        for line in runs.close_lost(root):
            log.warning(line)
    except Exception as error:  # any: what Prefect shows of other runs is no reason to fail this one
        log.warning("Interrupted runs could not be closed: %s", error)


def _loop(root: Path, tune_trials: int, publish: bool, branch: str) -> State[Any]:
    """Run the stages in ``root``; commit the result if ``branch`` is not empty."""
    words = []
    _command(root, "sync")
    sources = track_changed_sources(root)
    stages, steps = pipeline.stages(root), dict[str, pages.Step]()
    if tune_trials > 0 and not (model := params.load("model", path=root / params.FILE).model).has_stage_2:
        words.append(f"Nothing was tuned: the head {model.head} has no stage 2.")
        tune_trials = 0
    if tune_trials > 0:
        steps |= _run_stale(root, list(takewhile(lambda stage: stage.name != TUNED, stages)))
        words.append(_command(root, "tune", "--trials", str(tune_trials), "--apply"))
    steps |= _run_stale(root, [stage for stage in stages if stage.name not in steps])
    if publish:
        words.append(_command(root, "register"))
    shown = [steps.get(stage.name) or pages.Step(stage.name, False, UNCHANGED, 0.0) for stage in stages]
    ran = any(step.ran for step in shown)
    if branch and ran:
        words.append(save_results(root, branch, tune_trials > 0, sources))
    words = [_count(shown) if ran else "All stages were up to date.", *words]
    create_markdown_artifact(key="retrain", markdown=pages.run_page(shown, words, root), description="The run")
    return Completed(message=" ".join(words)) if ran else Completed(name=UNCHANGED, message=" ".join(words))


def _run_stale(root: Path, stages: list[pipeline.Stage]) -> dict[str, pages.Step]:
    """Run the stale stages, one task each; a step says whether DVC then ran the stage or found it unchanged."""
    stale, steps = pipeline.stale(root), {}
    for stage in (stage for stage in stages if stage.name in stale):
        retries = ATTEMPTS - 1 if stage.name in INPUT else 0
        step = run_stage.with_options(name=stage.name, retries=retries, retry_delay_seconds=PAUSE)
        steps[stage.name] = step(stage.name, stage.outs, root)
    return steps


def _command(root: Path, *words: str) -> str:
    command = sadcl_command.with_options(name=words[0], retries=1, retry_delay_seconds=PAUSE)
    return command(root, *words)


@task(task_run_name="{name}", cache_policy=NO_CACHE, retry_condition_fn=_is_retryable)
def run_stage(name: str, outs: tuple[str, ...], root: Path) -> pages.Step:
    """Run ``dvc repro --single-item``; the output goes to the log, its last lines and the stage's files to a page."""
    log, started = get_run_logger(), time.monotonic()
    outcome = pipeline.reproduce(name, single=True, root=root, line=log.info)
    step = pages.Step(name, outcome.ran, outcome.last_line or UNCHANGED, time.monotonic() - started)
    page = pages.stage_page(step, outcome.output, outs, root)
    create_markdown_artifact(key=f"stage-{pages.key(name)}", markdown=page, description=step.words[:200])
    return step


@task(cache_policy=NO_CACHE, retry_condition_fn=_is_retryable)
def sadcl_command(root: Path, *words: str) -> str:
    """Run a subcommand of ``sadcl`` with the code of the worktree, in a process that ends with this one.

    Returns:
        The last line that it printed.

    Raises:
        StageError: it failed; the message is its own.
    """
    command = [sys.executable, "-c", COMMAND, *words]
    login = words[0] in WITH_LOGIN
    status, printed = processes.run(command, cwd=root, line=get_run_logger().info, login=login)
    last = next((line for line in reversed(printed.splitlines()) if line.strip()), "")
    if status != 0:
        message = last.removeprefix("sadcl: ") or f"sadcl {words[0]} ended with status {status}"
        raise pipeline.StageError(words[0], status, message)
    return last


@task(cache_policy=NO_CACHE)
def track_changed_sources(root: Path) -> list[str]:
    """Track data that was edited since ``dvc add``; return its ``.dvc`` files."""
    sources = pipeline.changed_sources(root)
    for source in sources:
        pipeline.reproduce(source, single=True, root=root, line=get_run_logger().info)
    return sources


@task(cache_policy=NO_CACHE, retries=1, retry_delay_seconds=PAUSE)
def save_results(root: Path, branch: str, tuned: bool, sources: list[str]) -> str:
    """Push the data to the remote and commit the result: all tracked files on a branch, only the run's own in place."""
    pipeline.push(root)
    in_place = branch == "HEAD"
    own = [*(path for path in worktree.RESULTS if path != params.RECIPES.name), *sources]
    commit = worktree.commit(root, f"Retrain{' with tuned settings' if tuned else ''}", own if in_place else ())
    if not commit:
        return "There was nothing to commit."
    return f"Committed as {commit}." if in_place else f"Committed as {commit} to branch {branch}; review and merge it."


def _count(steps: list[pages.Step]) -> str:
    ran = [step for step in steps if step.ran]
    return f"{counted(len(ran), 'stage')} ran in {duration(sum(step.seconds for step in ran))}."


def _count_of_trials(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return int(text)


def main() -> None:
    """Parse the arguments and run the flow; exit with 0, or with 2 and a message."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.retrain", description="Run all stale stages, then register the model."
    )
    parser.add_argument("--commit", action="store_true", help="commit dvc.lock and params.yaml")
    parser.add_argument(
        "--tune-trials",
        type=_count_of_trials,
        default=0,
        metavar="N",
        help="tune stage 2 first, with N trials in all",
    )
    parser.add_argument("--no-register", action="store_true", help="do not register the model")
    arguments = parser.parse_args()

    def run() -> State[Any]:
        pipeline.require_project()
        with translate_errors():
            return retrain(
                commit=arguments.commit,
                tune_trials=arguments.tune_trials,
                publish=not arguments.no_register,
                return_state=True,
            )

    run_command("retrain", run)


if __name__ == "__main__":
    main()
