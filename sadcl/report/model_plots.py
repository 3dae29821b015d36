"""Plots of the report, as SVG that stands in the page and takes its ink."""

import io
import re
import warnings
from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

Rows = Sequence[Mapping[str, str]]

BLUE, ORANGE, GREEN, PURPLE = "#4477cc", "#e08a1e", "#2f9e77", "#b65fa0"
"""Told apart by colour-blind people, and readable on a light and on a dark page."""

WIDTH = 4.5
"""Inches; narrow, so that the letters are still letters on a phone."""
COLUMN = 30
"""Classes in one bar plot; more classes make more plots, which stand beside each other where there is room."""
LONGEST = 26
"""Letters of a class's name in a plot."""
PARTS = {
    "classification": ("classification loss", BLUE),
    "sample_to_sample": ("sample-to-sample loss", GREEN),
    "prototype_to_sample": ("prototype-to-sample loss", PURPLE),
}
STYLE: Any = {
    "svg.hashsalt": "sadcl",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 10.5,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
    "lines.linewidth": 2,
    "lines.markersize": 4,
    "legend.frameon": False,
    "legend.borderaxespad": 0.2,
    "figure.constrained_layout.use": True,
}


def per_class(rows: Rows) -> list[str]:
    """Average precision of each class, best first: SADCL as bars, SARL alone as marks.

    Args:
        rows: class, AP, AP_sarl, as ``evaluate`` wrote them.

    Returns:
        As many SVGs as hold all classes at 30 each; none without classes.
    """
    ordered = sorted(rows, key=lambda row: -_number(row["AP"]))
    size = ceil(len(ordered) / ceil(len(ordered) / COLUMN)) if ordered else 1
    return [_bars(ordered[i : i + size], size) for i in range(0, len(ordered), size)]


def precision_recall(rows: Rows, threshold: float) -> str:
    """Precision over recall, all labels together, with a mark where the threshold stands."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.4))
        axes = figure.subplots()
        axes.plot([_number(r["recall"]) for r in rows], [_number(r["precision"]) for r in rows], color=BLUE)
        above = [row for row in rows if _number(row["threshold"]) >= threshold]
        if above:
            at = min(above, key=lambda row: _number(row["threshold"]))
            x, y = _number(at["recall"]), _number(at["precision"])
            axes.plot(x, y, "o", color=ORANGE, ms=8)
            left = x > 60
            axes.annotate(
                f"threshold {threshold:g}",
                (x, y),
                xytext=(-8 if left else 8, -10),
                textcoords="offset points",
                ha="right" if left else "left",
                va="top",
            )
        axes.set(xlim=(0, 102), ylim=(0, 102), xlabel="recall, %", ylabel="precision, %")
        return svg(figure, "Precision over recall")


def reliability(rows: Rows, uncalibrated: Rows) -> str:
    """Share of labels that are present over the score, and the line on which both are the same."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.4))
        axes = figure.subplots()
        axes.plot([0, 100], [0, 100], color="grey", lw=1)
        for name, points, colour in (("as trained", uncalibrated, ORANGE), ("calibrated", rows, BLUE)):
            score, present = ([_number(row[of]) for row in points] for of in ("score", "present"))
            axes.plot(score, present, "o-", color=colour, label=name)
        axes.legend(frameon=False)
        axes.set(xlim=(0, 102), ylim=(0, 102), xlabel="score, %", ylabel="labels that are present, %")
        return svg(figure, "Share of labels that are present, over their score")


def training(rows: Rows, stage: str) -> str:
    """Select mAP of raw and averaged weights, and each part of the loss on its own scale, over epochs.

    Args:
        rows: of history.csv.
        stage: its name, for people who hear the page.
    """
    parts = [part for part in PARTS if any(_number(row.get(part)) > 0 for row in rows)]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 2.2 + 1.25 * len(parts)))
        heights = [1.7, *[1.0] * len(parts)]
        panels = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
        epochs = [_number(row["epoch"]) for row in rows]
        _select(panels[0], epochs, rows)
        for axes, part in zip(panels[1:], parts, strict=True):
            title, colour = PARTS[part]
            axes.plot(epochs, [_number(row[part]) for row in rows], "o-", color=colour)
            axes.set_title(title)
            axes.margins(y=0.15)
        panels[-1].set_xlabel("epoch")
        panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
        if len(epochs) == 1:
            panels[-1].set_xlim(epochs[0] - 0.5, epochs[0] + 0.5)
        return svg(figure, f"Training of {stage}: mAP on the select split and the loss, by epoch")


def _select(axes: Axes, epochs: Sequence[float], rows: Rows) -> None:
    """The upper panel: how good the weights were, and which epoch was kept; a training without select notes zeros."""
    axes.set_title("mAP on the select split, %", pad=20)
    for name, label, colour in (("ema", "averaged weights", BLUE), ("raw", "raw weights", ORANGE)):
        values = [_number(row.get(f"select_mAP_{name}")) for row in rows]
        if any(value > 0 for value in values):
            axes.plot(epochs, values, "o-", color=colour, label=label)
    scored = [(value, -epoch) for row, epoch in zip(rows, epochs, strict=True)
              if (value := _number(row.get("select_mAP"))) > 0]  # fmt: skip
    if not scored:
        axes.text(0.5, 0.5, "there is no select split", transform=axes.transAxes, ha="center", va="center")
        return
    best, epoch = max(scored)
    axes.plot(-epoch, best, "o", ms=11, mfc="none", mec=GREEN, mew=2, label="kept", clip_on=False)
    axes.margins(y=0.12)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, handlelength=1.2, columnspacing=1.2)


def _bars(rows: Rows, room: int) -> str:
    """One column of bars, with the height of ``room`` of them, so that neighbours are on one scale."""
    places = list(range(len(rows)))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.95 + 0.22 * room))
        axes = figure.subplots()
        bars = axes.barh(places, [_number(row["AP"]) for row in rows], color=BLUE, height=0.68)
        alone = axes.plot([_number(row["AP_sarl"]) for row in rows], places, "|", color=ORANGE, ms=10, mew=3)
        axes.set_yticks(places, [short(row["class"]) for row in rows])
        axes.set(xlim=(0, 101), ylim=(room - 0.4, -0.6), xlabel="average precision, %")
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        axes.legend(
            [bars, *alone], ["SADCL", "SARL alone"], loc="lower left", bbox_to_anchor=(0, 1), ncols=2, handlelength=1.2
        )
        return svg(figure, "Average precision of each class")


def short(name: str) -> str:
    """A name that a plot has room for."""
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"


def _number(text: str | None) -> float:
    """A cell of a CSV file; an empty one is not a number."""
    return float(text) if text else float("nan")


def svg(figure: Figure, title: str) -> str:
    """The figure as an element of a page: no file head, no date, the page's own ink instead of black."""
    out = io.StringIO()
    with warnings.catch_warnings():
        # the reader's browser draws the letters; it does not matter which ones matplotlib's own font has
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    drawn = out.getvalue()[out.getvalue().index("<svg") :]
    box = re.search(r'viewBox="([^"]+)"', drawn)
    head = f'<svg xmlns:xlink="http://www.w3.org/1999/xlink" role="img" aria-label="{title}"'
    drawn = re.sub(r"<svg [^>]*>", f'{head} viewBox="{box[1] if box else ""}">', drawn, count=1)
    drawn = re.sub(r"\s*<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r'<g id="[^"]*">', "<g>", drawn)  # these names would stand in the page several times
    return re.sub(r"(fill|stroke): #000000", r"\1: currentColor", drawn)
