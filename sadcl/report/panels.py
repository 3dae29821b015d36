"""Images side by side in one picture, with names in any script below them."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from sadcl import names
from sadcl.report import fonts

WIDTH, GAP, FONT_SIZE = 900, 14, 24
"""Pixels of the picture: width, gap between panels, font size (9 px on a phone of 340 px)."""
SMALL_FONT_SIZE, LINE = FONT_SIZE * 3 // 4, FONT_SIZE * 5 // 4
TEXT_COLOUR, NOTE_COLOUR = "#111111", "#666666"


@dataclass(frozen=True)
class Panel:
    """One image of a picture, with a name and a probability (or nothing) below it."""

    image: Image.Image
    name: str
    probability: str = ""


def columns(panels: int) -> int:
    """Number of panels in a row: at most four; three where they fill the last row better."""
    return min(panels, 3 if panels in (5, 6, 9) else 4)


def grid(panels: Sequence[Panel], notes: Sequence[str]) -> Image.Image:
    """Draw panels row by row on white, ``WIDTH`` pixels wide, with notes at the end.

    Args:
        panels: images of equal height, none wider than its column.
        notes: lines of text; empty ones are left out.
    """
    across, lines = columns(len(panels)), [note for note in notes if note]
    cell, row = WIDTH // across, panels[0].image.height + 2 * LINE + 2 * GAP
    height = GAP + row * ceil(len(panels) / across) + LINE * len(lines) + GAP // 2
    with fonts.style([*lines, *(panel.name for panel in panels)], {}):
        page = _Page(height)
        for i, panel in enumerate(panels):
            middle, top = cell * (i % across) + cell // 2, GAP + row * (i // across)
            page.paste(panel.image, middle - panel.image.width // 2, top)
            below = top + panel.image.height + GAP // 2
            page.write_name(middle, below, panel.name, cell - GAP)
            page.write(middle, below + LINE, panel.probability, FONT_SIZE, NOTE_COLOUR, "center")
        for i, note in enumerate(reversed(lines)):
            page.write(GAP // 2, height - GAP // 2 - LINE * (i + 1), note, SMALL_FONT_SIZE, NOTE_COLOUR, "left")
        return page.image()


class _Page:
    """A white page whose positions count in pixels from the upper left corner."""

    def __init__(self, height: int) -> None:
        # 72 dots an inch: a point of a font is a pixel
        self._figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72)
        # Any: its methods have no types
        self._canvas: Any = FigureCanvasAgg(self._figure)
        self._height = height

    def paste(self, image: Image.Image, left: int, top: int) -> None:
        pixels = np.asarray(image.convert("RGB"))
        self._figure.figimage(pixels, left, self._height - top - image.height, origin="upper")

    def write(self, x: int, top: int, text: str, size: int, colour: str, align: str) -> None:
        # on a common line, whichever letters it has
        line = top + round(0.93 * size)
        self._figure.text(x / WIDTH, 1 - line / self._height, text, size=size, color=colour, ha=align, va="baseline")

    def write_name(self, middle: int, top: int, name: str, width: int) -> None:
        """Write a name in one line, cut with an ellipsis where it is wider."""
        label, renderer = self._figure.text(0, 0, "", size=FONT_SIZE), self._canvas.get_renderer()

        def fits(text: str) -> bool:
            label.set_text(text)
            return bool(label.get_window_extent(renderer).width <= width)

        short = names.shorten(name, fits)
        label.remove()
        self.write(middle, top, short, FONT_SIZE, TEXT_COLOUR, "center")

    def image(self) -> Image.Image:
        self._canvas.draw()
        return Image.fromarray(np.asarray(self._canvas.buffer_rgba())).convert("RGB")
