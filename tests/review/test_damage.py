"""What is gone or changed is said, and never shown as if it were whole."""

import json
import shutil
from pathlib import Path

from sadcl.review.app import create_app
from tests.review.conftest import Browser, Door, text


def test_other_test_photos_in_the_project_are_not_shown_for_the_version_s_own(rita: Browser, reign: Path) -> None:
    for damage in (lambda: shutil.rmtree(reign / "data/shards"), lambda: shutil.rmtree(reign / "data")):
        damage()
        page = create_app(reign, door=Door())
        browser = Browser(page)
        browser.log_in()
        shown = browser.get("/versions/3").text
        assert "There are no shards" in shown
        assert "photo.jpg" not in shown
        assert "This version is nearer to the truth" in shown


def test_a_changed_verdict_is_said_and_not_shown(rita: Browser, reign: Path) -> None:
    [path] = [p for p in (reign / ".sadcl/mlartifacts").rglob("verdict.json") if '"fail"' in p.read_text()]
    shutil.rmtree(reign / ".sadcl/review", ignore_errors=True)
    path.write_text(json.dumps({**json.loads(path.read_text()), "words": "All is well."}))
    page = text(rita.get("/versions/2").text)
    assert "The verdict in the registry is not the one that the gate gave" in page
    assert "All is well." not in page


def test_changed_scores_are_said_and_not_shown(rita: Browser, reign: Path) -> None:
    shutil.rmtree(reign / ".sadcl/review", ignore_errors=True)
    for path in (reign / ".sadcl/mlartifacts").rglob("scores.parquet"):
        path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    page = text(rita.get("/versions/3").text)
    assert "evidence/scores.parquet is not the same as when it was registered" in page
    assert "Classes" not in page


def test_what_was_brought_once_is_not_asked_for_again(rita: Browser, reign: Path) -> None:
    first = rita.get("/versions/3").text
    (reign / ".sadcl/mlartifacts").rename(reign / ".sadcl/away")
    assert rita.get("/versions/3").text == first
    (reign / ".sadcl/away").rename(reign / ".sadcl/mlartifacts")


def test_a_damaged_copy_of_the_page_is_brought_again(rita: Browser, reign: Path) -> None:
    first = rita.get("/versions/3").text
    for path in (reign / ".sadcl/review/files").rglob("*.*"):
        path.write_bytes(b"damaged")
    shutil.rmtree(reign / ".sadcl/review/values")
    assert rita.get("/versions/3").text == first
