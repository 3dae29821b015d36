"""Two reviewers in a real browser: one Chromium, one project that changes from test to test."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from sadcl.registry.publish import publish
from sadcl.registry.status import status
from sadcl.review.after_decision import sync_in_process
from sadcl.review.app import create_app
from sadcl.services import free_port
from tests.registry.conftest import Networks, ProjectStates
from tests.review.conftest import PASSWORD, Clock, StaticAuthenticator, write_stage_outputs

CONFLICT = "409 (Conflict)"
"""The browser's console message for a refused decision."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def root(states: ProjectStates, networks: Networks) -> Path:
    """Version 1 is champion, 3 passed, and 4 challenges."""
    states.restore("promoted")
    write_stage_outputs(states.root, networks(4), noise=0.4)
    assert publish(states.root).alias == "challenger"
    return states.root


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def address(root: Path, clock: Clock) -> Iterator[str]:
    """The page on loopback, as a server shows it."""
    port = free_port()
    app = create_app(root, authenticator=StaticAuthenticator(), clock=clock, after_decision=sync_in_process, check=None)
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", lifespan="off"))
    running = threading.Thread(target=server.run)
    running.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        running.join()


@pytest.fixture
def browser_errors() -> list[str]:
    """Errors that the browser reports."""
    return []


@pytest.fixture
def rita(chromium: Any, address: str, browser_errors: list[str]) -> Iterator[Any]:
    """A reviewer at a desk, logged in."""
    page = open_page(chromium, address, browser_errors)
    log_in(page, "rita")
    yield page
    page.context.close()


@pytest.fixture
def ron(chromium: Any, address: str, browser_errors: list[str]) -> Iterator[Any]:
    """A second reviewer, logged in, at a phone with dark colours."""
    page = open_page(chromium, address, browser_errors, viewport={"width": 390, "height": 800}, color_scheme="dark")
    log_in(page, "ron")
    yield page
    page.context.close()


def open_page(chromium: Any, address: str, browser_errors: list[str], **kwargs: Any) -> Any:
    """A tab of a browser that knows nobody."""
    page = chromium.new_context(base_url=address, **kwargs).new_page()
    page.set_default_timeout(60_000)
    page.on("console", lambda message: browser_errors.append(message.text))
    page.on("pageerror", lambda error: browser_errors.append(str(error)))
    page.goto("/")
    return page


def log_in(page: Any, name: str, password: str = PASSWORD) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def decide(page: Any, button: str, reason: str) -> None:
    page.get_by_label("Reason").fill(reason)
    page.get_by_role("button", name=button).click()


def notice(page: Any) -> str:
    return str(page.get_by_role("status").first.inner_text())


def champion(root: Path) -> str:
    return str(status(root)["champion"]["source"])


def test_in_after_a_wrong_password_and_out_again(chromium: Any, address: str, browser_errors: list[str]) -> None:
    page = open_page(chromium, address, browser_errors)
    log_in(page, "rea", "a guess")
    assert "Wrong name or password" in page.get_by_role("alert").inner_text()
    log_in(page, "rea")
    assert "rea, reader" in page.locator("header").inner_text()
    page.get_by_role("button", name="Log out").click()
    page.goto("/history")
    assert page.get_by_role("heading", level=1).inner_text() == "Log in"
    assert [("401" in words) for words in browser_errors] == [True]
    page.context.close()


def test_the_challenger_is_one_click_away_and_its_classes_are_sorted_by_a_click(
    rita: Any, browser_errors: list[str]
) -> None:
    rita.get_by_role("link", name="Review", exact=True).click()
    assert rita.get_by_role("heading", level=1).inner_text() == "Version 4 of tiny"
    rita.get_by_role("link", name="AP", exact=True).click()
    rita.get_by_role("link", name="AP").click()
    assert rita.url.endswith("?sort=AP&order=asc#classes")
    cells = rita.locator("table.sorted tbody td:nth-child(3)").all_inner_texts()
    assert [float(cell) for cell in cells] == sorted(float(cell) for cell in cells)
    assert browser_errors == []


def test_photos_come_as_one_scrolls_to_them(rita: Any, browser_errors: list[str]) -> None:
    rita.goto("/versions/3")
    photos = rita.locator(".photos img")
    assert photos.count() >= 3
    for photo in photos.all()[:3]:
        photo.scroll_into_view_if_needed()
        photo.evaluate("image => image.complete || new Promise(done => image.onload = image.onerror = done)")
        assert photo.evaluate("image => image.naturalWidth") == 80
    assert browser_errors == []


def test_nothing_is_wider_than_the_window_and_the_keyboard_shows_where_it_is(
    rita: Any, ron: Any, browser_errors: list[str]
) -> None:
    for page, width in ((rita, 1280), (ron, 390)):
        for path in ("/", "/versions/3", "/history"):
            page.goto(path)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
    rita.keyboard.press("Tab")
    assert rita.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert browser_errors == []


def test_two_reviewers_decide_and_the_second_is_shown_the_conflict(
    rita: Any, ron: Any, root: Path, browser_errors: list[str]
) -> None:
    rita.goto("/versions/3")
    rita.get_by_role("button", name="Approve").click()
    assert rita.evaluate("document.activeElement.id") == "reason"  # the browser itself asks for one
    ron.goto("/versions/4")
    decide(ron, "Reject", "it misses kites")
    assert "rejected" in notice(ron)
    assert status(root)["challenger"] is None
    ron.goto("/versions/3")
    decide(rita, "Approve", "more kites found")
    assert "is champion now" in notice(rita)
    assert champion(root) == "models:/tiny/3"
    decide(ron, "Approve", "I was first to open it")
    assert "champion already" in ron.get_by_role("alert").inner_text()
    rita.get_by_role("link", name="History", exact=True).first.click()
    rita.get_by_role("link", name="Roll back").click()
    decide(rita, "Roll back to version 1", "it tags kites as cats")
    assert "Back to tiny-production version 1" in notice(rita)
    assert champion(root) == "models:/tiny/1"
    assert [words for words in browser_errors if CONFLICT not in words] == []


def test_an_idle_session_ends_in_words(rita: Any, clock: Clock, browser_errors: list[str]) -> None:
    clock.now += 30 * 60
    rita.get_by_role("link", name="Versions").click()
    assert "Your session has ended" in rita.get_by_role("alert").inner_text()
    log_in(rita, "rita")
    assert rita.get_by_role("heading", level=1).inner_text() == "tiny"
    assert browser_errors == []
