"""Approve, reject, roll back: by whom, with which reason, and what becomes of it."""

from pathlib import Path
from typing import Any

import pytest

from sadcl import files
from sadcl.registry import client as store
from sadcl.registry import schema
from sadcl.registry.audit import log
from sadcl.registry.status import status
from sadcl.review.after_decision import sync_in_process
from sadcl.review.app import create_app
from tests.review.conftest import Browser, Clock, StaticAuthenticator, text


def champion(root: Path) -> tuple[str | None, str | None]:
    """Sources of champion and previous champion."""
    aliases = status(root)
    return tuple(aliases[name] and aliases[name]["source"] for name in ("champion", "previous"))


def verdict(root: Path, number: int) -> str:
    """Digest of the verdict on a version."""
    with store.connect(root) as client:
        return str(client.get_model_version("tiny", str(number)).tags[schema.VERDICT_DIGEST])


def replace_verdict_digest(root: Path, number: int) -> None:
    """Replace the digest, as a second judgement of the gate would."""
    with store.connect(root) as client:
        client.set_model_version_tag("tiny", str(number), schema.VERDICT_DIGEST, "f" * 64)


FIRST, THIRD = "models:/tiny/1", "models:/tiny/3"


def test_approval_sets_the_champion_and_shows_one_notice(rita: Browser, promoted: Path) -> None:
    response = rita.send("/versions/3", "/versions/3", action="approve", reason="  more kites <b>found</b> ")
    assert (response.status_code, response.url.path) == (200, "/versions/3")
    assert "Version 3 of tiny is champion now" in response.text
    assert "The project&#39;s files are in line." in response.text
    assert champion(promoted) == (THIRD, FIRST)
    assert files.read_json(promoted / "data/champion.json")["challenger"] == THIRD
    assert log.entries(promoted)[-1]["reason"] == "more kites <b>found</b>"
    again = rita.get("/versions/3").text
    assert "is champion now" not in again
    assert "Earlier champion" in again
    history = rita.get("/history").text
    assert "more kites &lt;b&gt;found&lt;/b&gt;" in history
    assert "Approved version 3 production version 1 → 2" in text(history)


def test_decision_needs_a_reason_within_the_limit(rita: Browser, promoted: Path) -> None:
    for action in ("approve", "reject"):
        for reason, words in (("", "Give a reason"), (" \r\n ", "Give a reason"), ("x" * 2001, "at most 2,000")):
            response = rita.send("/versions/3", "/versions/3", action=action, reason=reason)
            assert response.status_code == 400
            assert words in text(response.text)
    assert champion(promoted) == (FIRST, None)


def test_failed_version_can_not_be_approved(rita: Browser, promoted: Path) -> None:
    page = rita.get("/versions/2").text
    assert ('value="approve"' in page, 'value="reject"' in page) == (False, True)
    fields = {"action": "approve", "reason": "I like it", "verdict": verdict(promoted, 2)}
    response = rita.send("/versions/2", "/versions/2", **fields)
    assert response.status_code == 409
    assert "verdict is fail" in response.text
    assert champion(promoted) == (FIRST, None)


@pytest.mark.parametrize("action", ["approve", "reject"])
def test_decision_on_an_outdated_verdict_is_refused(rita: Browser, promoted: Path, action: str) -> None:
    old = verdict(promoted, 3)
    assert f'name="verdict" value="{old}"' in rita.get("/versions/3").text
    replace_verdict_digest(promoted, 3)
    fields = {"action": action, "reason": "as I saw it"}
    for digest in (old, ""):
        late = rita.send("/versions/3", "/versions/3", **fields, verdict=digest)
        assert late.status_code == 409
        assert "The verdict has changed since you looked at it" in late.text
        assert ">as I saw it</textarea>" in late.text
    assert champion(promoted) == (FIRST, None)
    assert status(promoted)["challenger"]["version"] == "3"
    assert log.entries(promoted)[-1]["reason"] == "the first"
    assert rita.send("/versions/3", "/versions/3", **fields).status_code == 200


def test_only_reviewers_decide(page: Any, promoted: Path) -> None:
    for name in ("rea", "tom"):
        browser = Browser(page)
        browser.log_in(name)
        for to in ("/versions/3", "/rollback"):
            response = browser.send("/", to, action="approve", reason="mine", champion="1")
            assert response.status_code == 403
            assert "Only reviewers decide" in response.text
        assert browser.get("/rollback").status_code == 403
    assert champion(promoted) == (FIRST, None)


def test_form_of_another_session_is_refused(rita: Browser, page: Any, promoted: Path) -> None:
    ron = Browser(page)
    ron.log_in("ron")
    other_session = page.state.context.sessions.get(ron.client.cookies[page.state.context.cookie])
    for token in ({}, {"csrf": ""}, {"csrf": other_session.csrf}):
        for to in ("/versions/3", "/rollback", "/logout"):
            fields = {"action": "approve", "reason": "not mine", "champion": "1", **token}
            assert rita.client.post(to, data=fields).status_code == 403
    assert champion(promoted) == (FIRST, None)
    assert rita.get("/").url.path == "/"


def test_decision_needs_a_log_in(page: Any, promoted: Path) -> None:
    response = Browser(page).client.post("/versions/3", data={"action": "approve", "reason": "mine"})
    assert response.url.path == "/login"
    assert champion(promoted) == (FIRST, None)


def test_unknown_action_is_refused(rita: Browser, promoted: Path) -> None:
    assert rita.send("/versions/3", "/versions/3", reason="mine").status_code == 400
    assert champion(promoted) == (FIRST, None)


def test_first_champion_needs_confirmation(registered: Path) -> None:
    browser = Browser(
        create_app(registered, authenticator=StaticAuthenticator(), after_decision=sync_in_process, check=None)
    )
    browser.log_in()
    assert "There is no champion to compare with." in browser.get("/versions/1").text
    refused = browser.send("/versions/1", "/versions/1", action="approve", reason="good")
    assert refused.status_code == 409
    assert "Add --first if this version is to be the first one" in refused.text
    assert ">good</textarea>" in refused.text
    assert browser.send("/versions/1", "/versions/1", action="approve", reason="good", first="yes").status_code == 200
    assert champion(registered) == (FIRST, None)


def test_second_of_two_concurrent_decisions_is_refused(rita: Browser, page: Any, promoted: Path) -> None:
    ron = Browser(page)
    ron.log_in("ron")
    token = page.state.context.sessions.get(ron.client.cookies[page.state.context.cookie]).csrf
    fields = {"csrf": token, "verdict": verdict(promoted, 3)}
    assert rita.send("/versions/3", "/versions/3", action="approve", reason="hers").status_code == 200
    late = ron.client.post("/versions/3", data={**fields, "action": "approve", "reason": "his"})
    assert late.status_code == 409
    assert "This model is the champion already" in late.text
    assert log.entries(promoted)[-1]["reason"] == "hers"


def test_rollback_restores_the_previous_champion(rita: Browser, promoted: Path) -> None:
    assert "There is no previous champion." in rita.get("/rollback").text
    rita.send("/versions/3", "/versions/3", action="approve", reason="better")
    assert 'href="/rollback"' in rita.get("/history").text
    confirmation = rita.get("/rollback").text
    assert "makes version 1 the champion again, in place of version 3" in confirmation
    refused = rita.send("/rollback", "/rollback", champion="2", reason=" ")
    assert refused.status_code == 400
    assert champion(promoted) == (THIRD, FIRST)
    response = rita.send("/rollback", "/rollback", champion="2", reason="tags kites as cats")
    assert (response.status_code, response.url.path) == (200, "/history")
    assert "Back to tiny-production version 1" in response.text
    assert champion(promoted) == (FIRST, THIRD)
    assert "Rolled back to version 1" in text(response.text)


def test_outdated_page_does_not_roll_back_again(rita: Browser, page: Any, promoted: Path) -> None:
    ron = Browser(page)
    ron.log_in("ron")
    rita.send("/versions/3", "/versions/3", action="approve", reason="better")
    assert 'name="champion" value="2"' in ron.get("/rollback").text
    rita.send("/rollback", "/rollback", champion="2", reason="worse after all")
    late = ron.send("/rollback", "/rollback", champion="2", reason="worse after all")
    assert late.status_code == 409
    assert "The champion has changed since you opened this page" in late.text
    assert champion(promoted) == (FIRST, THIRD)


def test_rollback_needs_a_previous_champion(rita: Browser, promoted: Path) -> None:
    response = rita.send("/", "/rollback", champion="1", reason="no good")
    assert response.status_code == 409
    assert "no previous champion" in response.text
    assert champion(promoted) == (FIRST, None)


def test_decision_stands_when_synchronisation_fails(
    rita: Browser, promoted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sadcl.errors import SadclError
    from sadcl.registry import sync

    def full(root: Path) -> bool:
        raise SadclError("The disk is full", fix="Free some space")

    monkeypatch.setattr(sync, "sync", full)
    response = rita.send("/versions/3", "/versions/3", action="approve", reason="better")
    assert (
        "The decision stands, but the project&#39;s files could not be synchronised. The disk is full." in response.text
    )
    assert champion(promoted) == (THIRD, FIRST)


def test_failed_version_can_be_rejected(rita: Browser, promoted: Path) -> None:
    fields = {"action": "reject", "reason": "it misses kites", "verdict": verdict(promoted, 2)}
    response = rita.send("/versions/2", "/versions/2", **fields)
    assert (response.status_code, "Version 2 of tiny is rejected" in response.text) == (200, True)
    assert 'value="reject"' not in response.text
    assert status(promoted)["challenger"]["version"] == "3"


def test_rejection_removes_the_challenger(rita: Browser, promoted: Path) -> None:
    response = rita.send("/versions/3", "/versions/3", action="reject", reason="it misses kites")
    assert (response.status_code, response.url.path) == (200, "/versions/3")
    assert "Rejected" in response.text
    assert champion(promoted) == (FIRST, None)
    assert status(promoted)["challenger"] is None
    assert "it misses kites" in rita.get("/history").text


@pytest.mark.slow
def test_flow_runs_after_a_decision_without_prefects_server(
    promoted: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    rita = Browser(create_app(promoted, authenticator=StaticAuthenticator(), clock=clock, check=None))
    rita.log_in()
    response = text(rita.send("/versions/3", "/versions/3", action="approve", reason="better").text)
    assert "Version 3 of tiny is champion now" in response
    assert "The project's files are in line." in response
    assert "without it" not in response
    assert champion(promoted) == (THIRD, FIRST)
