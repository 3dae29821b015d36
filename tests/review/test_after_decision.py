"""Synchronisation after a decision: the flow updates files, and the review page reports the result."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from flows.messages import describe
from flows.promote import FILES, describe_decision, promote
from sadcl import layout
from sadcl.evaluation.gate import champion as shadow
from sadcl.registry.audit import log
from sadcl.registry.promote import reject
from sadcl.review import after_decision
from tests.flows.test_retrain import pages
from tests.registry.conftest import ProjectStates, networks, new_project, project_states, promoted, states  # noqa: F401 - fixtures

LINE = "The project's files are in line."


def git(root: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=root, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def run(promoted: Path, server: str) -> Callable[..., Any]:  # noqa: F811
    """Run the flow in a project whose latest decision is the rejection of version 2."""
    reject(2, "it misses | kites\npromote: completed: forged")
    return lambda **words: promote(root=promoted, return_state=True, **words)


@pytest.fixture
def sync_by_flow(promoted: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:  # noqa: F811
    """Synchronise as the review page does."""
    monkeypatch.setenv("PREFECT_API_URL", server)
    return lambda: after_decision.sync_by_flow(promoted, nullcontext)


def test_flow_describes_the_decision_and_the_files_to_commit(run: Callable[..., Any], promoted: Path) -> None:  # noqa: F811
    before = git(promoted, "status", "--porcelain")
    state = run()
    assert (state.is_completed(), state.message) == (True, LINE)
    page = pages(state)["promote"]
    assert (
        r"| Ann \<ann\@example.org\> | rejected models:/tiny/2 | it misses \| kites promote: completed: forged |"
        in page
    )
    assert f"Commit {', '.join(f'`{file}`' for file in FILES)}." in page
    assert git(promoted, "status", "--porcelain") == before


def test_lost_files_are_restored(run: Callable[..., Any], promoted: Path) -> None:  # noqa: F811
    champion = shadow.read_champion(promoted / FILES[0])
    (promoted / FILES[0]).unlink()
    (promoted / "data/champion/scores.parquet").unlink()
    assert run().message == "The project's files were updated from the registry."
    assert shadow.read_champion(promoted / FILES[0]) == champion is not None
    assert (promoted / "data/champion/scores.parquet").exists()


def test_commit_contains_exactly_the_synchronised_files(run: Callable[..., Any], promoted: Path) -> None:  # noqa: F811
    git(promoted, "add", "params.yaml")
    state = run(commit=True)
    commit = git(promoted, "log", "--format=%h %s").strip()
    assert state.message == f"{LINE} Committed as {commit.split()[0]}."
    assert commit.partition(" ")[2] == describe_decision(log.entries(promoted)[-1])
    assert git(promoted, "show", "--name-only", "--format=").split() == sorted(FILES)
    assert "A  params.yaml" in git(promoted, "status", "--porcelain").splitlines()
    assert run(commit=True).message == LINE


def test_failed_synchronisation_is_reported_by_flow_and_page(
    run: Callable[..., Any], sync_by_flow: Callable[[], str], promoted: Path  # noqa: F811
) -> None:  # fmt: skip
    (promoted / layout.AUDIT_LOG).write_text("no line of ours\n")
    assert describe(run()).startswith("A line of the audit log is not JSON")
    assert sync_by_flow().startswith(f"{after_decision.DECISION_STANDS} A line of the audit log is not JSON")


def test_review_page_reports_the_result_of_the_flow(sync_by_flow: Callable[[], str]) -> None:
    assert sync_by_flow() == LINE


def test_child_process_gets_credentials_only_where_the_registry_needs_them(
    promoted: Path, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    """The environment is copied inside the log-in context, and has no credentials without one."""
    environments: list[dict[str, str]] = []
    monkeypatch.setattr(after_decision, "_run_flow", lambda root, environment: environments.append(environment) or "")

    @contextmanager
    def as_rita() -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MLFLOW_TRACKING_USERNAME", "rita")
            yield

    after_decision.sync_by_flow(promoted, as_rita)
    after_decision.sync_by_flow(promoted, nullcontext)
    assert [environment.get("MLFLOW_TRACKING_USERNAME") for environment in environments] == ["rita", None]
    assert "MLFLOW_TRACKING_USERNAME" not in os.environ


def test_flow_that_takes_too_long_is_stopped_and_reported(
    sync_by_flow: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(after_decision, "TIMEOUT", 0)
    timeout = "The flow `promote` took more than 0 s and was stopped. Run `sadcl sync`."
    assert sync_by_flow() == f"{after_decision.DECISION_STANDS} {timeout}"


def test_page_synchronises_itself_without_prefect(
    sync_by_flow: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_URL")
    monkeypatch.setenv("PREFECT_SERVER_ALLOW_EPHEMERAL_MODE", "false")
    assert sync_by_flow() == f"Prefect did not start, so the review page continued without it. {LINE}"
