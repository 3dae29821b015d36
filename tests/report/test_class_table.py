"""The table of all classes: nobody reads thousands of rows, so each class must be easy to find."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from sadcl.report import html
from sadcl.report.class_table import GROUP, ClassGroup, ClassRow, group_by_name

EVIL = "<img src=x onerror=alert(1)>"
WIDTHS = {"desk": 1400, "phone": 390}


def groups(names: Sequence[str]) -> list[ClassGroup]:
    return group_by_name([ClassRow(name, (f"{i % 100}.25", f"{i % 90}.50", f"{i:,}")) for i, name in enumerate(names)])


def table(names: Sequence[str]) -> str:
    """The table as HTML."""
    module: Any = html.environment().get_template("class_table.html").module
    return str(module.class_table(groups(names), ["AP", "SARL alone", "Test photos"]))


@pytest.mark.parametrize("count", [0, 1, 100, 101, 181, 5000])
def test_each_class_is_in_one_group_and_no_group_is_longer_than_a_page(count: int) -> None:
    result = groups([f"class {i}" for i in range(count)])
    assert [row.name for group in result for row in group.rows] == [f"class {i}" for i in range(count)]
    assert len(result) == -(-count // GROUP)
    assert all(1 <= len(group.rows) <= GROUP for group in result)
    assert [group.first for group in result] == [1, *(group.last + 1 for group in result)][: len(result)]


def test_names_have_the_order_of_an_index() -> None:
    names = ["Zebra", "éclair", "class 10", "Eagle", "class 9", "class", "eel", "犬"]
    (group,) = groups(names)
    assert [row.name for row in group.rows] == ["class", "class 9", "class 10", "Eagle", "éclair", "eel", "Zebra", "犬"]


def test_a_number_of_thousands_of_digits_is_a_name_too() -> None:
    (group,) = groups(["9" * 5000, "8"])
    assert group.rows[0].name == "8"


def test_long_names_are_shortened_with_the_whole_name_as_a_tooltip() -> None:
    name = f"{'plants and fungi ' * 9}{EVIL}"
    text = table([name, "fern"])
    assert f'<td title="{"plants and fungi " * 9}&lt;img src=x onerror=alert(1)&gt;">plants and fungi' in text
    assert "<td>fern</td>" in text
    assert EVIL not in text


def test_five_thousand_classes_take_less_than_half_a_megabyte() -> None:
    assert len(table([f"quite usual name {i}" for i in range(5000)]).encode()) < 500_000


@pytest.fixture(params=WIDTHS)
def page(request: pytest.FixtureRequest, chromium: Any, tmp_path: Path) -> Iterator[Any]:
    """A page with 1,000 classes, in a browser that runs no scripts of pages."""
    environment = html.environment()
    style = environment.get_template("page.css").render()
    names = [EVIL, *(f"animal {i:03}" for i in range(1, 1000))]
    text = f"<!doctype html><meta charset=utf-8><style>{style}</style><div class=card>{table(names)}</div>"
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    viewport = {"width": WIDTHS[request.param], "height": 844}
    page = chromium.new_context(viewport=viewport, java_script_enabled=False).new_page()
    page.set_default_timeout(60_000)
    page.goto((tmp_path / "page.html").as_uri())
    yield page
    page.context.close()


def visible_classes(page: Any) -> list[str]:
    """Names of the rows that are shown, without those of closed groups."""
    # not innerText: it is empty as long as `content-visibility` has not laid the group out
    script = "cells => cells.filter(cell => cell.checkVisibility()).map(cell => cell.textContent)"
    return list(page.locator("tbody td:first-child").evaluate_all(script))


def test_one_group_is_open_at_a_time_and_the_index_stays_where_it_is(page: Any) -> None:
    assert visible_classes(page) == []
    page.get_by_text("All classes", exact=True).click()
    assert visible_classes(page) == [EVIL, *(f"animal {i:03}" for i in range(1, 100))]
    label = page.get_by_text("animal 800 to animal 899")
    label.scroll_into_view_if_needed()
    before = label.bounding_box()["y"]
    label.click()
    assert visible_classes(page) == [f"animal {i}" for i in range(800, 900)]
    assert label.bounding_box()["y"] == before
    assert page.get_by_role("cell", name="animal 800").bounding_box()["y"] < 844
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_search_of_the_browser_opens_the_group_of_a_class(page: Any) -> None:
    """A link to a text, which Chromium looks up as its search does."""
    address = page.url
    page.goto("about:blank")
    page.goto(f"{address}#:~:text={quote('animal 456')}")
    cell = page.get_by_role("cell", name="animal 456")
    cell.wait_for()
    assert visible_classes(page) == [f"animal {i}" for i in range(400, 500)]
