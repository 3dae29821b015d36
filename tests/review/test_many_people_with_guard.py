"""Many people at once on the real guarded server: each with a log-in of their own, checked again and again."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sadcl.accounts import users
from sadcl.errors import SadclError
from sadcl.registry import artifacts, client, lookup
from sadcl.registry.personal_client import PersonalClient
from sadcl.review.after_decision import sync_in_process
from sadcl.review.app import create_app
from sadcl.review.authentication import RegistryAuthenticator
from sadcl.review.sessions import CHECK_INTERVAL
from tests.guard.conftest import ADMIN, NAME, REA, RITA, ROB, TOM, Team, new_team, password, team  # noqa: F401 - fixtures
from tests.review.conftest import Browser, Clock, text

pytestmark = pytest.mark.slow

WRONG = "a guess that is wrong"


def accounts(connected_team: Team) -> Any:
    """Client of the server's accounts."""
    from mlflow.server.auth.client import AuthServiceClient

    return AuthServiceClient(connected_team.address)


@pytest.fixture
def connected_team(team: Team, monkeypatch: pytest.MonkeyPatch) -> Team:  # noqa: F811
    """The team, whose server the project works with."""
    monkeypatch.setenv(client.ADDRESS, team.address)
    monkeypatch.chdir(team.root)
    return team


@pytest.fixture
def authenticator(connected_team: Team) -> RegistryAuthenticator:
    return RegistryAuthenticator(connected_team.root)


@pytest.fixture
def eve(connected_team: Team) -> Iterator[str]:
    """An account that tests change."""
    users.add_account("eve", "reader", password("eve"), connected_team.home)
    yield "eve"
    with connected_team.acting(ADMIN):
        names = {account.name for account in users.list_accounts(connected_team.home)}
        if "eve" in names:
            accounts(connected_team).delete_user("eve")


def create_page(connected_team: Team, clock: Clock, check: Any) -> Any:
    return create_app(connected_team.root, clock=clock, after_decision=sync_in_process, check=check)


def test_right_and_wrong_passwords_at_once_are_distinguished(authenticator: RegistryAuthenticator) -> None:
    for name in (TOM, RITA, ROB, REA):
        assert authenticator.check(name, password(name)) is not None
    attempts = [(name, secret) for name in (TOM, RITA, ROB, REA) for secret in [password(name), WRONG] * 4]
    with ThreadPoolExecutor(len(attempts)) as threads:
        people = list(threads.map(lambda attempt: authenticator.check(*attempt), attempts))
    for (name, secret), person in zip(attempts, people, strict=True):
        assert (person.name if person else None) == (name if secret == password(name) else None)


def test_people_with_the_same_role_have_the_same_rights_and_others_do_not(authenticator: RegistryAuthenticator) -> None:
    people = {name: authenticator.check(name, password(name)) for name in (TOM, RITA, ROB, REA)}
    rights = {name: person.rights for name, person in people.items() if person is not None}
    assert rights[RITA] == rights[ROB]
    assert len({rights[TOM], rights[RITA], rights[REA]}) == 3


def test_a_new_role_shows_at_the_next_check(connected_team: Team, authenticator: RegistryAuthenticator) -> None:
    before = authenticator.check(REA, password(REA))
    with connected_team.holding(REA, "reviewer"):
        during = authenticator.check(REA, password(REA))
    after = authenticator.check(REA, password(REA))
    assert [person.role for person in (before, during, after) if person] == ["reader", "reviewer", "reader"]


def test_a_changed_password_and_a_deleted_account_end_the_session_in_seconds(
    connected_team: Team, clock: Clock, eve: str
) -> None:
    browser = Browser(create_page(connected_team, clock, None))
    assert browser.log_in(eve, password(eve)).status_code == 200
    with connected_team.acting(ADMIN):
        accounts(connected_team).update_user_password(eve, "another long password")
    clock.now += CHECK_INTERVAL
    assert browser.get("/").url.path == "/login"
    assert browser.log_in(eve, password(eve)).status_code == 401
    assert "eve, reader" in text(browser.log_in(eve, "another long password").text)
    with connected_team.acting(ADMIN):
        accounts(connected_team).delete_user(eve)
    clock.now += CHECK_INTERVAL
    assert browser.get("/").url.path == "/login"


def test_pages_are_read_and_people_log_in_while_a_decision_runs(connected_team: Team, clock: Clock) -> None:
    number, seen = connected_team.train(), list[str]()

    def check(*_: object) -> None:
        browser = Browser(page)
        seen.append(text(browser.log_in(REA, password(REA)).text))
        seen.append(text(browser.get(f"/versions/{number}").text))

    page = create_page(connected_team, clock, check)
    rob = Browser(page)
    rob.log_in(ROB, password(ROB))
    # the check runs in the middle of the promotion, which has logged this process in as rob
    response = rob.send(f"/versions/{number}", f"/versions/{number}", action="approve", reason="better")
    assert (response.status_code, "is champion now" in response.text) == (200, True)
    assert [f"{REA}, reader" in page for page in seen] == [True, True]
    assert f"Version {number} of {NAME}" in seen[1]


def test_a_log_in_of_its_own_reads_what_the_person_may_read(connected_team: Team, tmp_path: Path) -> None:
    with connected_team.acting(TOM):  # the process is logged in as another person meanwhile
        rea, stranger = (PersonalClient(connected_team.address, REA, secret) for secret in (password(REA), WRONG))
        version = lookup.list_versions(rea, NAME)[0]
        for name in (artifacts.SCORES, artifacts.model(version)):
            path = artifacts.fetch(rea, version, name, tmp_path, rea.download)
            assert path.is_file()
        assert rea.get("/api/2.0/mlflow/users/current")["user"]["username"] == REA
        assert stranger.get("/api/2.0/mlflow/users/current") is None
        for read in (lambda: lookup.list_versions(stranger, NAME), lambda: stranger.get_run(str(version.run_id))):
            with pytest.raises(Exception, match="401"):
                read()
        run = rea.get_run(str(version.run_id)).info
        with pytest.raises(Exception, match="401"):
            stranger.download(f"{run.artifact_uri}/verdict.json", tmp_path)
        with pytest.raises(OSError, match="nothing"):
            rea.download(f"{run.artifact_uri}/nothing", tmp_path)
        missing = lookup.list_versions(rea, NAME)[0]
        with pytest.raises(SadclError, match="A file of the registry is gone"):
            artifacts.fetch(rea, missing, "evidence/nothing.json", tmp_path, rea.download)
