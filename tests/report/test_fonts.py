"""Pictures of names in every script: the font that has a letter draws it, and a box shows that none has."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from PIL import Image

from sadcl.report import fonts, panels

NOWHERE = "\U000f1234"
"""A letter of the private use area, which only a font of its own has."""


@pytest.fixture
def square_font(tmp_path: Path) -> Iterator[str]:
    """An installed font whose only letter is a black square."""
    pen = TTGlyphPen(None)
    for point in ((0, 0), (0, 1000), (1000, 1000), (1000, 0)):
        (pen.lineTo if pen.points else pen.moveTo)(point)
    pen.closePath()
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder([".notdef", "square"])
    font.setupCharacterMap({ord(NOWHERE): "square"})
    font.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "square": pen.glyph()})
    font.setupHorizontalMetrics({".notdef": (1000, 0), "square": (1000, 0)})
    font.setupHorizontalHeader(ascent=1000, descent=0)
    font.setupNameTable({"familyName": "Squares", "styleName": "Regular"})
    font.setupOS2(sTypoAscender=1000)
    font.setupPost()
    font.save(tmp_path / "squares.ttf")
    before = list(font_manager.fontManager.ttflist)
    font_manager.fontManager.addfont(tmp_path / "squares.ttf")
    fonts._families.cache_clear()
    yield "Squares"
    font_manager.fontManager.ttflist[:] = before
    fonts._families.cache_clear()


def ink(name: str) -> np.ndarray:
    """Dark pixels below a white panel with a name."""
    page = panels.grid([panels.Panel(Image.new("RGB", (300, 50), "white"), name)], [])
    return np.asarray(page.convert("L")) < 128


def test_a_letter_that_the_usual_font_lacks_comes_from_an_installed_one(square_font: str) -> None:
    assert fonts.families(f"cat {NOWHERE}") == [fonts.DEFAULT, square_font]
    drawn = ink(NOWHERE)
    rows, places = np.flatnonzero(drawn.any(1)), np.flatnonzero(drawn.any(0))
    assert drawn[rows[0] : rows[-1], places[0] : places[-1]].all()
    assert rows[-1] - rows[0] == pytest.approx(panels.FONT_SIZE, abs=2)


def test_a_letter_of_no_font_is_a_box_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ink(NOWHERE).sum() > 50
        assert fonts.families(NOWHERE) == [fonts.DEFAULT]


def test_usual_texts_take_the_font_that_comes_along() -> None:
    assert fonts.families("Löffel: 1 $x$ قطة кошка\n\u200d") == [fonts.DEFAULT]


@pytest.mark.parametrize("name", ["$x$", "a_b^c", r"\frac", "$unclosed", "%d {x}"])
def test_signs_of_formulas_are_drawn_as_they_are(name: str) -> None:
    assert ink(name).any()


def test_a_name_of_any_length_stays_in_its_column() -> None:
    image = Image.new("RGB", (200, 50), "white")
    page = panels.grid([panels.Panel(image, "W" * 300) for _ in range(4)], [])
    dark = (np.asarray(page.convert("L")) < 128).any(0)
    assert not dark[[0, 225, 450, 675, 899]].any()
    assert dark.sum() > 500
