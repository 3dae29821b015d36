"""What a person sees: the list, one version beside the champion, photos, history."""

import io
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sadcl import files, layout
from sadcl.review.app import create_app
from tests.registry.conftest import World
from tests.review.conftest import CLASSES, Browser, Door, text


@pytest.fixture(scope="module")
def reign(states: World) -> Path:
    """Nothing is changed here, so the state is brought back once."""
    states.bring_back("reign")
    return states.root


@pytest.fixture(scope="module")
def page(reign: Path) -> Any:
    return create_app(reign, door=Door())


def verdict(root: Path) -> dict[str, Any]:
    """What the gate said of version 3."""
    return dict(files.read_json(root / "reports/verdict.json"))


def rows(page: str) -> list[list[str]]:
    """The table of classes."""
    table = page[page.index('id="classes"') :].partition("<tbody>")[2].partition("</tbody>")[0]
    return [[text(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)] for row in table.split("</tr>")[:-1]]


def test_the_list_says_who_challenges_who_reigns_and_how_good_they_are(rita: Browser, reign: Path) -> None:
    page = text(rita.get("/").text)
    value, low, high = verdict(reign)["intervals"]["mAP"]["model"]
    assert f"Challenger Version 3 mAP {value:.2f} {low:.2f} to {high:.2f}" in page
    assert "Champion Version 1" in page
    assert "“the first”" in page
    assert "Champion before Nobody yet" in page
    assert verdict(reign)["words"] in page
    assert "✗ fail The model fails" in page
    assert "approved by Ann <ann@example.org>" in page


def test_the_challengers_page_is_worked_out_while_the_list_is_looked_at(rita: Browser, reign: Path) -> None:
    kept = reign / ".sadcl/review/values"
    shutil.rmtree(kept, ignore_errors=True)
    rita.get("/")
    worked_out = set(kept.iterdir())
    assert worked_out
    rita.get("/versions/3")
    assert set(kept.iterdir()) == worked_out


def test_a_long_list_is_cut_and_can_be_had_whole(rita: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sadcl.review.routes.versions.RECENT", 2)
    cut = rita.get("/").text
    assert "All versions, 1 more" in cut
    assert cut.count('scope="row"') == 2
    assert rita.get("/?all=true").text.count('scope="row"') == 3


def test_a_version_stands_beside_champion_and_paper(rita: Browser, reign: Path) -> None:
    page, judged = text(rita.get("/versions/3").text), verdict(reign)
    for rule in judged["rules"]:
        assert f"{rule['result']} {rule['words']}" in page
    found = judged["intervals"]["mAP"]
    shown = [f"{v:.2f} {low:.2f} to {high:.2f}" for v, low, high in (found["model"], found["champion"])]
    value, low, high = found["difference"]
    assert f"mAP {shown[0]} {shown[1]} {value:+.2f} {low:+.2f} to {high:+.2f} 85.60" in page
    assert "% This version Champion Difference a paper" in page
    assert "train.lr 0.001 0.002" in page
    assert "parameters 1,000 1,000" in page
    assert files.digest(reign / "models/train/weights.safetensors")[:12] in page


def test_the_champion_s_own_page_compares_it_with_nobody(rita: Browser) -> None:
    page = text(rita.get("/versions/1").text)
    assert "It is the champion now." in page
    assert "Approve" not in page
    assert "Precision and recall, all labels together: this version" in page


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize(("column", "at"), [("name", 0), ("positives", 1), ("AP", 2), ("champion", 3), ("change", 4)])
def test_classes_are_sorted_by_any_column_both_ways(rita: Browser, column: str, at: int, order: str) -> None:
    page = rita.get(f"/versions/3?sort={column}&order={order}").text
    found = rows(page)
    assert sorted(row[0] for row in found) == sorted(CLASSES)
    values: list[Any] = [row[at].casefold() if at == 0 else float(row[at]) for row in found]
    assert values == sorted(values, reverse=order == "desc")
    assert f'aria-sort="{order}ending"' in page
    turned = "asc" if order == "desc" else "desc"
    assert f"?sort={column}&amp;order={turned}#classes" in page


@pytest.mark.parametrize("path", ["/versions/3?sort=nothing", "/versions/3?order=up", "/versions/9", "/versions/x"])
def test_what_is_not_there_is_a_sentence(rita: Browser, path: str) -> None:
    answer = rita.get(path)
    assert answer.status_code == 404
    assert "There is no" in answer.text


@pytest.mark.parametrize("path", ["/", "/versions/3", "/versions/1", "/history", "/rollback", "/login"])
def test_nothing_in_a_page_needs_script_or_style_of_its_own(rita: Browser, path: str) -> None:
    page = rita.get(path).text
    assert not re.search(r"<script|<style|\sstyle=|\son\w+=|javascript:|<b>dog", page)
    assert "http" not in re.sub(r'xmlns:xlink="[^"]+"', "", page)


def test_photos_show_where_both_models_looked(rita: Browser) -> None:
    page = rita.get("/versions/3").text
    assert "This version is nearer to the truth" in page
    seen = {}
    for picture in ("photo", "version", "champion"):
        address = f"/versions/3/better/0/{picture}.jpg"
        assert f'loading="lazy" src="{address}"' in page
        answer = rita.get(address)
        assert answer.headers["content-type"] == "image/jpeg"
        assert Image.open(io.BytesIO(answer.content)).size == (80, 60)
        seen[picture] = answer.content
    assert len(set(seen.values())) == 3
    assert rita.get("/versions/3/better/99/photo.jpg").status_code == 404
    assert rita.get("/versions/3/better/0/other.jpg").status_code == 404
    assert rita.get("/versions/1/better/0/photo.jpg").status_code == 404


def test_pictures_are_for_those_who_are_logged_in(page: Any) -> None:
    assert Browser(page).get("/versions/3/better/0/photo.jpg").url.path == "/login"


def test_a_project_that_registered_nothing_says_so(tmp_path: Path, reign: Path) -> None:
    shutil.copy(reign / "params.yaml", tmp_path)
    browser = Browser(create_app(tmp_path, door=Door()))
    assert "Nothing is registered yet." in browser.log_in().text
    assert not (tmp_path / layout.MLFLOW_DATABASE).exists()


def test_who_may_not_decide_sees_no_form(page: Any) -> None:
    browser = Browser(page)
    browser.log_in("tom")
    shown = browser.get("/versions/3").text
    assert "you are logged in as trainer" in shown
    assert "<textarea" not in shown
    assert "Roll back" not in browser.get("/history").text
