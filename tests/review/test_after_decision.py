"""What follows a decision: the flow tells it and brings files in line, and the review page says what came of that."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from flows.messages import describe
from flows.promote import FILES, promote, told
from sadcl import layout
from sadcl.evaluation.gate import champion as shadow
from sadcl.registry.audit import log
from sadcl.registry.promote import reject
from sadcl.review import after_decision
from tests.flows.test_retrain import pages
from tests.registry.conftest import World, networks, place, reign, states, world  # noqa: F401 - fixtures

LINE = "The project's files are in line."


def git(root: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=root, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def run(reign: Path, server: str) -> Callable[..., Any]:  # noqa: F811
    """The flow in a project where version 2 was rejected last."""
    reject(2, "it misses | kites\npromote: completed: forged")
    return lambda **words: promote(root=reign, return_state=True, **words)


@pytest.fixture
def by_flow(reign: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:  # noqa: F811
    """What the review page does."""
    monkeypatch.setenv("PREFECT_API_URL", server)
    return lambda: after_decision.by_flow(reign, nullcontext)


def test_a_decision_is_told_and_says_what_to_commit(run: Callable[..., Any], reign: Path) -> None:  # noqa: F811
    before = git(reign, "status", "--porcelain")
    state = run()
    assert (state.is_completed(), state.message) == (True, LINE)
    page = pages(state)["promote"]
    assert (
        r"| Ann \<ann\@example.org\> | rejected models:/tiny/2 | it misses \| kites promote: completed: forged |"
        in page
    )
    assert f"Commit {', '.join(f'`{file}`' for file in FILES)}." in page
    assert git(reign, "status", "--porcelain") == before


def test_files_that_are_lost_come_back(run: Callable[..., Any], reign: Path) -> None:  # noqa: F811
    champion = shadow.read_champion(reign / FILES[0])
    (reign / FILES[0]).unlink()
    (reign / "data/champion/scores.parquet").unlink()
    assert run().message == "The project's files were brought in line."
    assert shadow.read_champion(reign / FILES[0]) == champion is not None
    assert (reign / "data/champion/scores.parquet").exists()


def test_on_demand_exactly_these_files_are_committed(run: Callable[..., Any], reign: Path) -> None:  # noqa: F811
    git(reign, "add", "params.yaml")
    state = run(commit=True)
    made = git(reign, "log", "--format=%h %s").strip()
    assert state.message == f"{LINE} Committed as {made.split()[0]}."
    assert made.partition(" ")[2] == told(log.entries(reign)[-1])
    assert git(reign, "show", "--name-only", "--format=").split() == sorted(FILES)
    assert "A  params.yaml" in git(reign, "status", "--porcelain").splitlines()
    assert run(commit=True).message == LINE


def test_a_decision_that_cannot_be_followed_fails_with_its_sentence(
    run: Callable[..., Any], by_flow: Callable[[], str], reign: Path  # noqa: F811
) -> None:  # fmt: skip
    (reign / layout.AUDIT_LOG).write_text("no line of ours\n")
    assert describe(run()).startswith("A line of the audit log is not JSON")
    assert by_flow().startswith(f"{after_decision.STANDS} A line of the audit log is not JSON")


def test_the_review_page_is_told_what_the_flow_did(by_flow: Callable[[], str]) -> None:
    assert by_flow() == LINE


def test_a_log_in_is_the_child_s_only_while_the_registry_asks_for_one(
    reign: Path, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    """The environment is taken where the registry would be asked, and carries nothing where it asks for nothing."""
    given: list[dict[str, str]] = []
    monkeypatch.setattr(after_decision, "_run", lambda root, surroundings: given.append(surroundings) or "")

    @contextmanager
    def as_rita() -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MLFLOW_TRACKING_USERNAME", "rita")
            yield

    after_decision.by_flow(reign, as_rita)
    after_decision.by_flow(reign, nullcontext)
    assert [one.get("MLFLOW_TRACKING_USERNAME") for one in given] == ["rita", None]
    assert "MLFLOW_TRACKING_USERNAME" not in os.environ


def test_what_takes_too_long_is_ended_and_said(by_flow: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(after_decision, "LONGEST", 0)
    assert (
        by_flow() == f"{after_decision.STANDS} The flow `promote` took more than 0 s and was ended. Run `sadcl sync`."
    )


def test_without_prefect_the_page_does_it_itself_and_says_so(
    by_flow: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_URL")
    monkeypatch.setenv("PREFECT_SERVER_ALLOW_EPHEMERAL_MODE", "false")
    assert by_flow() == f"Prefect did not start, so the review page went on without it. {LINE}"
