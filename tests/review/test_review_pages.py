"""Pages for reading: the list of versions, a version compared with the champion, photos, history."""

import io
import re
import shutil
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sadcl import files, layout
from sadcl.review import tables
from sadcl.review.app import create_app
from tests.registry.conftest import ProjectStates
from tests.review.conftest import CLASSES, Browser, StaticAuthenticator, text


@pytest.fixture(scope="module")
def promoted(states: ProjectStates) -> Path:
    """State that no test of this module changes, so it is restored once."""
    states.restore("promoted")
    return states.root


@pytest.fixture(scope="module")
def page(promoted: Path) -> Any:
    return create_app(promoted, authenticator=StaticAuthenticator(), check=None)


def verdict(root: Path) -> dict[str, Any]:
    """The gate's verdict on version 3."""
    return dict(files.read_json(root / "reports/verdict.json"))


def rows(page: str) -> list[list[str]]:
    """Cells of the table of classes."""
    table = page[page.index('id="classes"') :].partition("<tbody>")[2].partition("</tbody>")[0]
    return [[text(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)] for row in table.split("</tr>")[:-1]]


def test_list_shows_challenger_champion_and_their_map(rita: Browser, promoted: Path) -> None:
    page = text(rita.get("/").text)
    value, low, high = verdict(promoted)["intervals"]["mAP"]["model"]
    assert f"Challenger Version 3 mAP {value:.2f} {low:.2f} to {high:.2f}" in page
    assert "Champion Version 1" in page
    assert "“the first”" in page
    assert "Previous champion None" in page
    assert verdict(promoted)["words"] in page
    assert "✗ fail The model fails" in page
    assert "approved by Ann <ann@example.org>" in page


def test_the_authors_linear_probe_is_shown_as_a_claim(rita: Browser, promoted: Path) -> None:
    value, low, high = verdict(promoted)["probe"]["difference"]
    claim = f"The trained head is worth {value:+.2f} mAP ({low:+.2f} to {high:+.2f}) over a linear probe"
    assert f"the verifier can’t confirm, since it trains nothing: {claim}" in text(rita.get("/versions/3").text)


def test_figures_of_a_champion_are_explained_only_where_there_is_one(rita: Browser) -> None:
    pages = {number: text(rita.get(f"/versions/{number}").text) for number in (1, 3)}
    assert {number for number, page in pages.items() if "The gate scored the champion" in page} == {3}


def test_comparison_of_the_challenger_is_computed_in_the_background_of_the_list(rita: Browser, promoted: Path) -> None:
    cache = promoted / ".sadcl/review/values"
    shutil.rmtree(cache, ignore_errors=True)
    rita.get("/")
    computed = set(cache.iterdir())
    assert computed
    rita.get("/versions/3")
    assert set(cache.iterdir()) == computed


def test_long_list_shows_recent_versions_and_links_to_all(rita: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sadcl.review.routes.versions.RECENT", 2)
    recent = rita.get("/").text
    assert "Show 1 more" in recent
    assert recent.count('scope="row"') == 2
    assert rita.get("/?all=true").text.count('scope="row"') == 3


def test_version_page_compares_with_champion_and_publication(rita: Browser, promoted: Path) -> None:
    page, judged = text(rita.get("/versions/3").text), verdict(promoted)
    for rule in judged["rules"]:
        assert f"{rule['result']} {rule['words']}" in page
    intervals = judged["intervals"]["mAP"]
    both = [f"{v:.2f} {low:.2f} to {high:.2f}" for v, low, high in (intervals["model"], intervals["champion"])]
    value, low, high = intervals["difference"]
    assert f"mAP {both[0]} {both[1]} {value:+.2f} {low:+.2f} to {high:+.2f} 85.60" in page
    assert "% This version Champion Difference a paper" in page
    assert "train.lr 0.001 0.002" in page
    assert "parameters 1,000 1,000" in page
    assert files.digest(promoted / "models/train/weights.safetensors")[:12] in page


def test_page_of_the_champion_compares_with_nothing(rita: Browser) -> None:
    page = text(rita.get("/versions/1").text)
    assert "This is the champion." in page
    assert "Approve" not in page
    assert "Precision and recall: this version" in page


def test_many_classes_have_pages_and_are_found_by_a_part_of_their_name(
    rita: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 'name="find"' not in rita.get("/versions/3").text
    monkeypatch.setattr(tables, "ROWS", 2)
    page = rita.get("/versions/3?sort=AP&order=desc").text
    assert len(rows(page)) == 2
    assert "Page 1 of 2" in text(page)
    following = re.search(r'href="([^"]*page=2[^"]*)"', page)
    assert following is not None
    second = rita.get(f"/versions/3{unescape(following[1]).partition('#')[0]}").text
    assert "Page 2 of 2" in text(second)
    assert sorted(row[0] for row in rows(page) + rows(second)) == sorted(CLASSES)
    assert rows(rita.get("/versions/3?sort=AP&order=desc&page=9").text) == rows(second)
    search_page = rita.get("/versions/3?find=DOG").text
    assert [row[0] for row in rows(search_page)] == ["<b>dog</b>"]
    assert "No class is called like this" in text(rita.get("/versions/3?find=zebra").text)
    for page_number in ("0", "-1", "99999999", "x"):
        assert rita.get(f"/versions/3?page={page_number}").status_code in (404, 422)


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize(
    ("column", "position"), [("name", 0), ("positives", 1), ("AP", 2), ("champion", 3), ("change", 4)]
)
def test_classes_are_sorted_by_any_column_both_ways(rita: Browser, column: str, position: int, order: str) -> None:
    page = rita.get(f"/versions/3?sort={column}&order={order}").text
    table = rows(page)
    assert sorted(row[0] for row in table) == sorted(CLASSES)
    values: list[Any] = [row[position].casefold() if position == 0 else float(row[position]) for row in table]
    assert values == sorted(values, reverse=order == "desc")
    assert f'aria-sort="{order}ending"' in page
    reverse = "asc" if order == "desc" else "desc"
    assert f"?sort={column}&amp;order={reverse}#classes" in page


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/versions/3?sort=nothing", "The table can't be sorted like this."),
        ("/versions/3?order=up", "The table can't be sorted like this."),
        ("/versions/9", "tiny has no version 9."),
        ("/versions/x", "This page does not exist."),
    ],
)
def test_unknown_address_is_answered_by_a_sentence(rita: Browser, path: str, sentence: str) -> None:
    response = rita.get(path)
    assert response.status_code == 404
    assert sentence in text(response.text)


@pytest.mark.parametrize("path", ["/", "/versions/3", "/versions/1", "/history", "/rollback", "/login"])
def test_pages_have_no_script_and_no_inline_style(rita: Browser, path: str) -> None:
    page = rita.get(path).text
    assert not re.search(r"<script|<style|\sstyle=|\son\w+=|javascript:|<b>dog", page)
    assert "http" not in re.sub(r'xmlns:xlink="[^"]+"', "", page)


def test_photos_have_attention_maps_of_both_models(rita: Browser) -> None:
    page = rita.get("/versions/3").text
    assert "This version is better" in page
    images = {}
    for picture in ("photo", "version", "champion"):
        address = f"/versions/3/better/0/{picture}.jpg"
        assert f'loading="lazy" src="{address}"' in page
        response = rita.get(address)
        assert response.headers["content-type"] == "image/jpeg"
        assert Image.open(io.BytesIO(response.content)).size == (80, 60)
        images[picture] = response.content
    assert len(set(images.values())) == 3
    assert rita.get("/versions/3/better/99/photo.jpg").status_code == 404
    assert rita.get("/versions/3/better/0/other.jpg").status_code == 404
    assert rita.get("/versions/1/better/0/photo.jpg").status_code == 404


def test_images_need_a_log_in(page: Any) -> None:
    assert Browser(page).get("/versions/3/better/0/photo.jpg").url.path == "/login"


def test_empty_registry_is_shown_and_not_created(tmp_path: Path, promoted: Path) -> None:
    shutil.copy(promoted / "params.yaml", tmp_path)
    browser = Browser(create_app(tmp_path, authenticator=StaticAuthenticator(), check=None))
    assert "No versions yet." in browser.log_in().text
    assert not (tmp_path / layout.MLFLOW_DATABASE).exists()


def test_trainers_see_no_form_for_decisions(page: Any) -> None:
    browser = Browser(page)
    browser.log_in("tom")
    shown = browser.get("/versions/3").text
    assert "Your role is trainer" in shown
    assert "<textarea" not in shown
    assert "Roll back" not in browser.get("/history").text
