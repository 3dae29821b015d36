"""Retraining on a tiny project: DVC, git and Prefect for real, the registry left alone."""

import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any
from uuid import UUID

import pytest

from flows import retrain as module
from flows.retrain import retrain
from sadcl import files, layout, pipeline
from sadcl.project import cleanup, schedule

pytestmark = pytest.mark.usefixtures("server")

RECIPES = Path(__file__).parents[2] / "recipes"

ONCE = """
from pathlib import Path
if not Path("{name}-tried").exists():
    Path("{name}-tried").touch()
    raise OSError("the disk is away")
"""

REFUSES = """
from pathlib import Path
with Path("tries").open("a") as file:
    file.write("x")
print("ingest: The photo is broken (a.jpg). Remove it.")
raise SystemExit(2)
"""


def run(project: Path, **words: Any) -> Any:
    return retrain(root=project, publish=False, return_state=True, **words)


def git(root: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=root, check=True, capture_output=True, text=True).stdout


def branches(root: Path) -> list[str]:
    return git(root, "for-each-ref", "--format=%(refname:short)", "refs/heads/retrain").split()


def tasks(state: Any) -> list[str]:
    """Names of a run's tasks in the order in which they began."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    with get_client(sync_client=True) as client:
        runs = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[_id(state)])))
    return [run.name.partition("-")[0] for run in sorted(runs, key=lambda run: str(run.start_time))]


def pages(state: Any) -> dict[str, str]:
    """A run's Markdown pages by key."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

    with get_client(sync_client=True) as client:
        of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[_id(state)]))
        return {str(one.key): str(one.data) for one in client.read_artifacts(artifact_filter=of_run)}


def _id(state: Any) -> UUID:
    run_id: UUID = state.state_details.flow_run_id
    return run_id


def test_one_task_a_stage_in_the_order_of_the_graph_and_nothing_the_second_time(project: Path) -> None:
    first = run(project)
    assert (first.type.value, first.name) == ("COMPLETED", "Completed"), first.message
    assert first.message.startswith("3 stages ran in ")
    shown = pages(first)
    assert "ingest: wrote ingest.txt" in shown["stage-ingest"]
    assert "| `ingest.txt` | 13 bytes |" in shown["stage-ingest"]
    assert "| three: wrote three.txt |" in shown["retrain"]
    second = run(project)
    assert (second.type.value, second.name) == ("COMPLETED", "unchanged")
    assert "| three | unchanged |" in pages(second)["retrain"]
    assert pipeline.stale(project) == {}
    assert tasks(first) == ["sync", "track_changed_sources", *(stage.name for stage in pipeline.stages(project))]
    assert tasks(second) == ["sync", "track_changed_sources"]


def test_only_what_is_stale_runs_and_only_the_results_are_committed(project: Path) -> None:
    pipeline.reproduce(root=project)
    (project / "source.txt").unlink()
    (project / "source.txt").write_text("new source")
    (project / "aside.py").write_text((project / "aside.py").read_text() + "# half a thought\n")
    (project / "notes.txt").write_text("mine")
    git(project, "add", "aside.py")
    pipeline.reproduce("aside", root=project)
    state = run(project, commit=True)
    assert "Committed as" in state.message
    assert (project / "three.txt").read_text() == "new source ingest three"
    assert git(project, "diff", "--name-only", "HEAD~1", "HEAD").split() == ["dvc.lock", "source.txt.dvc"]
    assert {"?? notes.txt", "M  aside.py"} <= set(git(project, "status", "--porcelain").splitlines())
    assert "| aside | unchanged |" in pages(state)["retrain"]
    assert tasks(state)[2:] == ["ingest", "three", "save_results"]


def test_a_head_without_stage_2_is_retrained_without_a_search(project: Path) -> None:
    shutil.copy(RECIPES / "coco-mini.yaml", project / "params.yaml")
    graph = (project / "dvc.yaml").read_text()
    (project / "dvc.yaml").write_text(graph.replace("    params: [word]\n", ""))
    state = run(project, tune_trials=2)
    assert state.type.value == "COMPLETED", state.message
    assert state.message.endswith("Nothing was tuned: the head linear has no stage 2.")
    assert tasks(state)[2:] == [stage.name for stage in pipeline.stages(project)]


def test_a_failing_stage_fails_the_run_with_its_own_sentence_and_once(project: Path) -> None:
    (project / "ingest.py").write_text(REFUSES)
    state = run(project)
    assert state.is_failed()
    assert str(state.result(raise_on_failure=False)) == "ingest: The photo is broken (a.jpg). Remove it."
    assert (project / "tries").read_text() == "x"


def test_reading_is_tried_again_and_a_judgement_is_not(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE", 0)
    for name in ("ingest", "three"):
        (project / f"{name}.py").write_text(ONCE.format(name=name) + (project / f"{name}.py").read_text())
    state = run(project)
    assert state.is_failed()
    assert (project / "ingest.txt").exists()
    assert not (project / "three.txt").exists()


def test_a_scheduled_run_leaves_the_tree_alone_and_its_result_on_a_branch(project: Path) -> None:
    (project / "params.yaml").write_text("word: half-edi")
    (project / "three.py").write_text("this is no Python yet")
    (project / "notes.txt").write_text("mine")
    before = {path: path.read_bytes() for path in project.glob("*") if path.is_file()}
    state = run(project, scheduled=True)
    assert state.is_completed(), state.message
    (branch,) = branches(project)
    assert f"to branch {branch}; review and merge it" in state.message
    assert git(project, "diff", "--name-only", "main", branch).split() == [".gitignore", "dvc.lock"]
    assert {path: path.read_bytes() for path in project.glob("*") if path.is_file()} == before
    assert git(project, "branch", "--show-current") == "main\n"
    assert len(git(project, "worktree", "list").splitlines()) == 1
    assert not list((project / ".sadcl/worktrees").iterdir())

    git(project, "checkout", "--quiet", "--force", branch)
    pipeline.checkout(project)
    assert pipeline.stale(project) == {}
    assert (project / "three.txt").read_text() == "source ingest three"
    assert run(project, scheduled=True).name == "unchanged"
    assert branches(project) == [branch]


@pytest.mark.parametrize("scheduled", [True, False])
def test_a_run_that_meets_another_one_ends_at_once(project: Path, scheduled: bool) -> None:
    with files.lock(project / layout.RETRAIN_LOCK, "retraining this project"):
        state = run(project, scheduled=scheduled)
    assert (state.type.value, state.name) == ("COMPLETED", "another run is under way")
    assert state.message.endswith("is already retraining this project; this run did nothing.")
    assert schedule.read(project).good is None


def test_a_lock_that_is_refused_fails_the_run_and_is_no_other_run(project: Path) -> None:
    (project / layout.RETRAIN_LOCK).mkdir(parents=True)
    state = run(project)
    assert state.is_failed()
    assert "The file can't be written: Is a directory" in str(state.result(raise_on_failure=False))
    assert "The file can't be written" in schedule.read(project).failed_message


def test_a_run_waits_for_a_cleaning_and_then_does_its_work(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, events, lock = Event(), list[str](), files.lock

    @contextmanager
    def observed(path: Path, doing: str, wait: bool = False) -> Iterator[None]:
        if path == project / cleanup.LOCK:
            asked.set()
        with lock(path, doing, wait):
            events.append(path.name)
            yield

    monkeypatch.setattr(files, "lock", observed)
    with ThreadPoolExecutor(1) as pool:
        with lock(project / cleanup.LOCK, "cleaning"):
            state = pool.submit(run, project)
            while not asked.wait(0.1):
                assert not state.done()
            events.append("the cleaning ends")
        assert state.result().name == "Completed"
    assert events[:3] == ["the cleaning ends", "clean.lock", "retrain.lock"]


def test_the_outcome_is_in_the_status(project: Path) -> None:
    (project / "ingest.py").write_text(REFUSES)
    run(project)
    assert "ingest: The photo is broken" in schedule.describe(project)[1]
    (project / "ingest.py").write_text("open('ingest.txt', 'w').write('good')")
    assert run(project).is_completed()
    (line,) = schedule.describe(project)
    assert "3 stages ran in " in line
