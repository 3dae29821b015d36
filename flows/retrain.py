"""The loop as a Prefect flow, one task a DVC stage: ``python -m flows.retrain``.

By hand it runs in place and commits nothing unless told. A scheduled run takes a git worktree of its
own, and leaves its result on a branch for a person to merge.
"""

import argparse
import os
import sys
import time
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

from flows import pages
from flows.messages import describe, install_log_filter, translate_errors
from sadcl import files, layout, params, pipeline, processes
from sadcl.errors import SadclError
from sadcl.progress import duration, say
from sadcl.project import worktree

UNCHANGED = "unchanged"
TUNED = "train"
"""The stage whose settings are searched: the search comes before it, after all that it stands on."""

ASKING = {"sync", "register"}
"""Sub-commands that ask the registry, and so in the name of who runs the flow; stages and searches have no log-in."""

INPUT = {"ingest", "prepare"}
"""Stages that read from disks and networks, where a second attempt may find them well again."""

ATTEMPTS, PAUSE = 3, 10
"""How often such a stage is tried, and the seconds between."""

COMMAND = "from sadcl import cli, processes; processes.end_with_parents(); cli.main()"
"""A search trains in this very process, so it may not outlive us either."""


def _is_retryable(_task: Any, _run: Any, state: State[Any]) -> bool:
    error = state.result(raise_on_failure=False)
    return not isinstance(error, SadclError) or (isinstance(error, pipeline.StageError) and error.retry_may_help)


@flow(name="retrain")
def retrain(
    commit: bool = False,
    tune_trials: int = 0,
    publish: bool = True,
    scheduled: bool = False,
    root: Path = Path("."),
    base: str = "HEAD",
) -> State[Any]:
    """Run what is stale, then register.

    Args:
        commit: commit ``dvc.lock`` and the settings (in place; a scheduled run always does, on its branch).
        tune_trials: search for better settings of stage 2 before it, with so many trials in all; 0 does not.
        publish: register what came out.
        scheduled: work in a git worktree of its own.
        root: the project's folder.
        base: the commit that a scheduled run starts from.

    Returns:
        A state named ``unchanged`` where nothing was stale.
    """
    install_log_filter()
    if os.environ.get("PREFECT__FLOW_RUN_ID"):
        processes.end_with_parents()
    root = Path(root).resolve()
    if not scheduled:
        with files.lock(root / layout.RETRAIN_LOCK, "retraining here"):
            return _loop(root, tune_trials, publish, "HEAD" if commit else "")
    with worktree.temporary_worktree(root, "retrain", date.today(), base) as tree:
        return _loop(tree.root, tune_trials, publish, tree.branch)


def _loop(root: Path, tune_trials: int, publish: bool, branch: str) -> State[Any]:
    """The run itself; with a branch its result is committed there."""
    words = []
    _command(root, "sync")
    sources = take_in_sources(root)
    stages, steps = pipeline.stages(root), dict[str, pages.Step]()
    if tune_trials > 0:
        steps |= _run_stale(root, list(takewhile(lambda stage: stage.name != TUNED, stages)))
        words.append(_command(root, "tune", "--trials", str(tune_trials), "--apply"))
    steps |= _run_stale(root, [stage for stage in stages if stage.name not in steps])
    if publish:
        words.append(_command(root, "register"))
    shown = [steps.get(stage.name) or pages.Step(stage.name, False, UNCHANGED, 0.0) for stage in stages]
    ran = any(step.ran for step in shown)
    if branch and ran:
        words.append(keep(root, branch, tune_trials > 0, sources))
    words = [_count(shown) if ran else "Nothing is stale, so no stage ran.", *words]
    create_markdown_artifact(key="retrain", markdown=pages.run_page(shown, words, root), description="The run")
    return Completed(message=" ".join(words)) if ran else Completed(name=UNCHANGED, message=" ".join(words))


def _run_stale(root: Path, stages: list[pipeline.Stage]) -> dict[str, pages.Step]:
    """Those of the stages that are stale, one task each; a stage that DVC then finds unchanged is told as such."""
    stale, steps = pipeline.stale(root), {}
    for stage in (stage for stage in stages if stage.name in stale):
        retries = ATTEMPTS - 1 if stage.name in INPUT else 0
        step = run_stage.with_options(name=stage.name, retries=retries, retry_delay_seconds=PAUSE)
        steps[stage.name] = step(stage.name, stage.outs, root)
    return steps


def _command(root: Path, *words: str) -> str:
    named = sadcl_command.with_options(name=words[0], retries=1, retry_delay_seconds=PAUSE)
    return named(root, *words)


@task(task_run_name="{name}", cache_policy=NO_CACHE, retry_condition_fn=_is_retryable)
def run_stage(name: str, outs: tuple[str, ...], root: Path) -> pages.Step:
    """``dvc repro --single-item``; its lines go to the log, its last words and files to an artifact."""
    log, started = get_run_logger(), time.monotonic()
    outcome = pipeline.reproduce(name, single=True, root=root, line=log.info)
    step = pages.Step(name, outcome.ran, outcome.last_line or UNCHANGED, time.monotonic() - started)
    page = pages.stage_page(step, outcome.output, outs, root)
    create_markdown_artifact(key=f"stage-{pages.key(name)}", markdown=page, description=step.words[:200])
    return step


@task(cache_policy=NO_CACHE, retry_condition_fn=_is_retryable)
def sadcl_command(root: Path, *words: str) -> str:
    """A sub-command of ``sadcl`` with the code of that tree, which may be another than ours; it ends when we do.

    Returns:
        Its last line.

    Raises:
        StageError: it refused; the sentence is its own.
    """
    command = [sys.executable, "-c", COMMAND, *words]
    login = words[0] in ASKING
    status, printed = processes.run(command, cwd=root, line=get_run_logger().info, login=login)
    last = next((line for line in reversed(printed.splitlines()) if line.strip()), "")
    if status != 0:
        said = last.removeprefix("sadcl: ") or f"sadcl {words[0]} ended with status {status}"
        raise pipeline.StageError(words[0], status, said)
    return last


@task(cache_policy=NO_CACHE)
def take_in_sources(root: Path) -> list[str]:
    """Data that was edited since ``dvc add`` is taken in, as ``dvc repro`` does it; the names of its files."""
    sources = pipeline.changed_sources(root)
    for source in sources:
        pipeline.reproduce(source, single=True, root=root, line=get_run_logger().info)
    return sources


@task(cache_policy=NO_CACHE, retries=1, retry_delay_seconds=PAUSE)
def keep(root: Path, branch: str, tuned: bool, sources: list[str]) -> str:
    """Send the data to the remote and commit the result; in place only the run's own files."""
    pipeline.push(root)
    in_place = branch == "HEAD"
    own = [*(path for path in worktree.RESULTS if path != params.RECIPES.name), *sources]
    made = worktree.commit(root, f"Retrain{' with tuned settings' if tuned else ''}", own if in_place else ())
    if not made:
        return "There was nothing new to commit."
    return f"Committed as {made}." if in_place else f"Committed as {made} to branch {branch}; merge it when you agree."


def _count(steps: list[pages.Step]) -> str:
    ran = [step for step in steps if step.ran]
    return f"{len(ran)} stage{'s' if len(ran) > 1 else ''} ran in {duration(sum(step.seconds for step in ran))}."


def _count_of_trials(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"it is {text!r}, and should be 0 or more")
    return int(text)


def main() -> None:
    """Parse, run, and end with 0, or with 2 and a sentence."""
    parser = argparse.ArgumentParser(prog="python -m flows.retrain", description="Run what is stale, then register.")
    parser.add_argument("--commit", action="store_true", help="commit dvc.lock and params.yaml")
    parser.add_argument(
        "--tune-trials", type=_count_of_trials, default=0, metavar="N", help="search stage 2's settings first"
    )
    parser.add_argument("--no-register", action="store_true", help="leave the registry alone")
    given = parser.parse_args()
    try:
        pipeline.require_project()
        with translate_errors():
            state = retrain(
                commit=given.commit, tune_trials=given.tune_trials, publish=not given.no_register, return_state=True
            )
    except SadclError as error:
        print(f"retrain: {error}", file=sys.stderr)
        sys.exit(2)
    say(f"retrain: {(state.name or '').lower()}: {describe(state)}")
    sys.exit(0 if state.is_completed() else 2)


if __name__ == "__main__":
    main()
