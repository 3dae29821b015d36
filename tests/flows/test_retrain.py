"""Retraining on a tiny project: DVC and Prefect for real, the registry left alone."""

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from flows import retrain as module
from flows.retrain import retrain
from sadcl import files, graph
from sadcl.errors import SadclError

pytestmark = pytest.mark.usefixtures("server")


def run(project: Path, **words: Any) -> Any:
    return retrain(root=project, publish=False, return_state=True, **words)


def tasks(state: Any) -> list[str]:
    """Names of a run's tasks in the order in which they began."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    with get_client(sync_client=True) as client:
        of_run = FlowRunFilter(id=FlowRunFilterId(any_=[_id(state)]))
        runs = client.read_task_runs(flow_run_filter=of_run)
    return [run.name.partition("-")[0] for run in sorted(runs, key=lambda run: run.start_time)]


def pages(state: Any) -> dict[str, str]:
    """A run's Markdown pages by key."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

    with get_client(sync_client=True) as client:
        of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[_id(state)]))
        return {str(one.key): str(one.data) for one in client.read_artifacts(artifact_filter=of_run)}


def _id(state: Any) -> UUID:
    found: UUID = state.state_details.flow_run_id
    return found


def test_one_task_a_stage_in_the_order_of_the_graph_and_nothing_the_second_time(project: Path) -> None:
    first = run(project)
    assert (first.type.value, first.name) == ("COMPLETED", "Completed"), first.message
    assert tasks(first) == ["sync", "take_in_sources", *(stage.name for stage in graph.stages(project))]
    assert first.message.startswith("3 stages ran in ")
    shown = pages(first)
    assert "ingest: wrote ingest.txt" in shown["stage-ingest"]
    assert "| `ingest.txt` | 13 bytes |" in shown["stage-ingest"]
    assert "| three: wrote three.txt |" in shown["retrain"]
    second = run(project)
    assert (second.type.value, second.name) == ("COMPLETED", "unchanged")
    assert tasks(second) == ["sync", "take_in_sources"]
    assert "| three | unchanged |" in pages(second)["retrain"]
    assert graph.stale(project) == {}


def test_only_what_is_stale_runs_and_only_a_word_commits_it(project: Path) -> None:
    graph.reproduce(root=project)
    (project / "three.py").write_text((project / "three.py").read_text() + "print('three: done again')\n")
    (project / "notes.txt").write_text("half a thought")
    state = run(project)
    assert tasks(state)[2:] == ["three"]
    assert "| aside | unchanged |" in pages(state)["retrain"]
    assert git(project, "rev-list", "--count", "HEAD").strip() == "1"
    (project / "params.yaml").write_text("word: goodbye\n")
    assert "Committed as" in run(project, commit=True).message
    changed = git(project, "diff", "--name-only", "HEAD~1", "HEAD").split()
    assert changed == ["dvc.lock", "params.yaml"]
    assert "three.py" in git(project, "status", "--porcelain")


def test_a_failing_stage_fails_the_run_with_its_own_sentence(project: Path) -> None:
    (project / "three.py").write_text(
        "import sys; print('three: The photo is broken (a.jpg). Remove it.'); sys.exit(2)"
    )
    state = run(project)
    assert state.is_failed()
    assert str(state.result(raise_on_failure=False)) == "three: The photo is broken (a.jpg). Remove it."
    assert tasks(state)[-1] == "three"


def test_reading_is_tried_again_and_a_gate_is_not(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE", 0)
    once = "from pathlib import Path\nif not Path('tried').exists():\n    Path('tried').touch()\n    raise OSError('away')\n"
    (project / "ingest.py").write_text(once + (project / "ingest.py").read_text())
    assert run(project).is_completed()
    (project / "tried").unlink()
    (project / "three.py").write_text(once + (project / "three.py").read_text())
    assert run(project).is_failed()


def test_what_nobody_can_mend_by_waiting_is_not_tried_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE", 0)
    count = "from pathlib import Path\nwith Path('tries').open('a') as file:\n    file.write('x')\nraise SystemExit(2)"
    (project / "ingest.py").write_text(count)
    assert run(project).is_failed()
    assert (project / "tries").read_text() == "x"


def test_an_edited_source_is_taken_in(project: Path) -> None:
    run(project)
    (project / "source.txt").unlink()
    (project / "source.txt").write_text("new source")
    assert tasks(run(project))[2:] == ["ingest", "three", "aside"]
    assert (project / "three.txt").read_text() == "new source ingest three"


def test_a_scheduled_run_leaves_the_tree_alone_and_its_result_on_a_branch(project: Path) -> None:
    (project / "params.yaml").write_text("word: half-edi")
    (project / "three.py").write_text("this is no Python yet")
    (project / "notes.txt").write_text("mine")
    before, tree = (
        git(project, "status", "--porcelain"),
        {p: p.read_bytes() for p in project.glob("*.*") if p.is_file()},
    )
    state = run(project, scheduled=True)
    assert state.is_completed(), state.message
    branch = git(project, "for-each-ref", "--format=%(refname:short)", "refs/heads/retrain").strip()
    assert f"to branch {branch}; merge it when you agree" in state.message
    assert git(project, "diff", "--name-only", "main", branch).split() == [".gitignore", "dvc.lock"]
    assert git(project, "show", f"{branch}:params.yaml") == "word: hello\n"
    assert git(project, "status", "--porcelain") == before
    assert {p: p.read_bytes() for p in project.glob("*.*") if p.is_file()} == tree
    assert len(git(project, "worktree", "list").splitlines()) == 1
    assert not list((project / ".sadcl/worktrees").iterdir())


def test_a_merged_branch_has_everything_and_the_next_week_changes_nothing(project: Path) -> None:
    run(project, scheduled=True)
    branch = git(project, "for-each-ref", "--format=%(refname:short)", "refs/heads/retrain").strip()
    git(project, "merge", "--quiet", branch)
    graph.checkout(project)
    assert graph.stale(project) == {}
    assert (project / "three.txt").read_text() == "source ingest three"
    assert run(project, scheduled=True).name == "unchanged"
    assert git(project, "for-each-ref", "--format=%(refname:short)", "refs/heads/retrain").strip() == branch


def test_a_second_run_by_hand_hears_of_the_first(project: Path) -> None:
    with files.held(project / module.LOCK, "retraining here"):
        state = run(project)
    with pytest.raises(SadclError, match="is already retraining here"):
        state.result()


def git(root: Path, *words: str) -> str:
    import subprocess

    return subprocess.run(["git", *words], cwd=root, check=True, capture_output=True, text=True).stdout
