"""A reviewer's walk in a real browser, and a second reviewer beside it."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from sadcl.registry.publish import publish
from sadcl.registry.status import status
from sadcl.review.aftermath import in_process
from sadcl.review.app import create_app
from sadcl.services import free_port
from tests.registry.conftest import Networks
from tests.review.conftest import PASSWORD, Clock, Door, leave

CHROMIUM = Path("/usr/bin/chromium")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="there is no /usr/bin/chromium; apt-get install chromium"),
]


@pytest.fixture
def address(reign: Path, clock: Clock) -> Iterator[str]:
    """The page on loopback, as a server shows it."""
    port = free_port()
    app = create_app(reign, door=Door(), clock=clock, aftermath=in_process)
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", lifespan="off"))
    running = threading.Thread(target=server.run)
    running.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        running.join()


@pytest.fixture
def chromium() -> Iterator[Any]:
    """A browser, which takes a moment to start."""
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


def open_page(chromium: Any, address: str, complaints: list[str], **kwargs: Any) -> Any:
    """A tab of a browser that knows nobody; what it complains about is kept."""
    page = chromium.new_context(**kwargs).new_page()
    page.set_default_timeout(60_000)
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{address}/")
    return page


def log_in(page: Any, name: str, password: str = PASSWORD) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def champion(root: Path) -> str:
    return str(status(root)["champion"]["source"])


def test_a_reviewer_looks_decides_and_goes_back(
    chromium: Any, address: str, reign: Path, clock: Clock, networks: Networks
) -> None:
    leave(reign, networks(4), noise=0.4)
    assert publish(reign).alias == "challenger"
    complaints: list[str] = []
    rita = open_page(chromium, address, complaints)
    ron = open_page(chromium, address, complaints, viewport={"width": 390, "height": 800}, color_scheme="dark")

    log_in(rita, "rita", "a guess")
    assert "do not belong together" in rita.get_by_role("alert").inner_text()
    log_in(rita, "rita")
    log_in(ron, "ron")
    assert len(complaints) == 1
    assert "401" in complaints.pop()

    rita.get_by_role("link", name="Review", exact=True).click()
    assert rita.get_by_role("heading", level=1).inner_text() == "Version 4 of tiny"
    rita.goto(f"{address}/versions/3")
    rita.get_by_role("link", name="AP", exact=True).click()
    rita.get_by_role("link", name="AP").click()
    assert rita.url.endswith("?sort=AP&order=asc#classes")
    cells = rita.locator("table.sorted tbody td:nth-child(3)").all_inner_texts()
    assert [float(cell) for cell in cells] == sorted(float(cell) for cell in cells)

    photos = rita.locator(".photos img")
    assert photos.count() >= 3
    for photo in photos.all()[:3]:
        photo.scroll_into_view_if_needed()
        photo.evaluate("image => image.complete || new Promise(done => image.onload = image.onerror = done)")
        assert photo.evaluate("image => image.naturalWidth") == 80

    rita.keyboard.press("Tab")
    assert rita.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    for page, width in ((rita, 1280), (ron, 390)):
        for path in ("/", "/versions/3", "/history"):
            page.goto(f"{address}{path}")
            assert page.evaluate("document.documentElement.scrollWidth") <= width

    rita.goto(f"{address}/versions/3")
    rita.get_by_role("button", name="Approve").click()
    assert rita.evaluate("document.activeElement.id") == "reason"  # the browser itself asks for one
    ron.goto(f"{address}/versions/4")
    ron.get_by_label("Reason").fill("it misses kites")
    ron.get_by_role("button", name="Reject").click()
    assert "rejected" in ron.get_by_role("status").first.inner_text()
    assert status(reign)["challenger"] is None
    ron.goto(f"{address}/versions/3")
    ron.get_by_label("Reason").fill("I was first to open it")
    rita.get_by_label("Reason").fill("more kites found")
    rita.get_by_role("button", name="Approve").click()
    assert "is champion now" in rita.get_by_role("status").first.inner_text()
    assert champion(reign) == "models:/tiny/3"
    ron.get_by_role("button", name="Approve").click()
    assert "champion already" in ron.get_by_role("alert").inner_text()

    rita.get_by_role("link", name="History", exact=True).first.click()
    rita.get_by_role("link", name="Roll back").click()
    rita.get_by_label("Reason").fill("it tags kites as cats")
    rita.get_by_role("button", name="Roll back to version 1").click()
    assert "Back to tiny-production version 1" in rita.get_by_role("status").first.inner_text()
    assert champion(reign) == "models:/tiny/1"

    clock.now += 30 * 60
    rita.get_by_role("link", name="Versions").click()
    assert "Your session has ended" in rita.get_by_role("alert").inner_text()
    log_in(rita, "rita")
    rita.get_by_role("button", name="Log out").click()
    rita.goto(f"{address}/history")
    assert rita.get_by_role("heading", level=1).inner_text() == "Log in"
    assert [words for words in complaints if "409 (Conflict)" not in words] == []
