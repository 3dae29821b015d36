"""Review page on the real guarded server: its accounts log in, and it refuses what the page allows."""

from collections.abc import Iterator
from typing import Any

import pytest

from sadcl.registry import client
from sadcl.registry.audit import log
from sadcl.review.after_decision import sync_by_flow, sync_in_process
from sadcl.review.app import create_app
from tests.guard.conftest import REA, RITA, ROB, TOM, Team, new_team, password, team  # noqa: F401 - fixtures
from tests.review.conftest import Browser, Clock, text

pytestmark = pytest.mark.slow


@pytest.fixture
def app(team: Team, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: F811
    """The page with the server's own log-in."""
    monkeypatch.setenv(client.ADDRESS, team.address)
    monkeypatch.chdir(team.root)
    return create_app(team.root, clock=clock, after_decision=sync_in_process, check=None)


@pytest.fixture
def log_in_as(app: Any) -> Iterator[Any]:
    """Log in as a person."""
    browsers = []

    def log_in(name: str) -> Browser:
        browsers.append(Browser(app))
        assert browsers[-1].log_in(name, password(name)).status_code == 200
        return browsers[-1]

    yield log_in
    for browser in browsers:
        browser.client.close()


def test_accounts_of_the_server_and_nobody_else_come_in(app: Any, log_in_as: Any) -> None:
    for name, role in ((TOM, "trainer"), (RITA, "reviewer"), (REA, "reader")):
        assert f"{name}, {role}" in log_in_as(name).get("/").text
    for name in (RITA, "nobody"):
        assert Browser(app).log_in(name, "a guess that is wrong").status_code == 401


def test_a_decision_carries_the_name_of_who_is_logged_in(team: Team, log_in_as: Any) -> None:  # noqa: F811
    number = team.train()
    rob = log_in_as(ROB)
    page = text(rob.get("/").text)
    assert f"Challenger Version {number}" in page
    assert f"by {TOM}" in page
    response = rob.send(f"/versions/{number}", f"/versions/{number}", action="approve", reason="mine to say")
    assert (response.status_code, "is champion now" in response.text) == (200, True)
    assert log.entries(team.root)[-1]["user"] == ROB
    assert f"Approved version {number}" in text(log_in_as(REA).get("/history").text)
    rollback = rob.send("/rollback", "/rollback", champion=log.entries(team.root)[-1]["to"], reason="and back")
    assert (rollback.status_code, "Back to" in rollback.text) == (200, True)


def test_a_rejection_is_the_reviewer_s_and_the_flow_asks_in_their_name(
    team: Team, app: Any, log_in_as: Any  # noqa: F811
) -> None:  # fmt: skip
    number = team.train()
    app.state.context.registry.after_decision = sync_by_flow
    response = log_in_as(RITA).send(f"/versions/{number}", f"/versions/{number}", action="reject", reason="no")
    assert (response.status_code, "is rejected" in response.text) == (200, True)
    assert "<p>The project&#39;s files are in line.</p>" in response.text
    assert (log.entries(team.root)[-1]["action"], log.entries(team.root)[-1]["user"]) == ("reject", RITA)


def test_the_server_says_no_where_the_page_would_not(team: Team, app: Any, log_in_as: Any) -> None:  # noqa: F811
    number = team.train()
    tom = log_in_as(TOM)
    [session] = [s for s in app.state.context.sessions._by_token.values() if s.name == TOM]
    session.role = "reviewer"
    before = team.holders()
    response = tom.send(f"/versions/{number}", f"/versions/{number}", action="approve", reason="it is mine")
    assert (response.status_code, "Your account may not do this" in response.text) == (409, True)
    assert team.holders() == before
