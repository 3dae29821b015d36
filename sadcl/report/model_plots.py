"""Plots of the report as inline SVG in the text colour of the page."""

import io
import re
from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any, TypeVar

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sadcl.report import fonts

Rows = Sequence[Mapping[str, str]]
Row = TypeVar("Row")

BLUE, ORANGE, GREEN, PURPLE = "#4477cc", "#e08a1e", "#2f9e77", "#b65fa0"
"""Distinct for colour-blind people, on light and dark pages."""

WIDTH = 4.5
"""Inches; narrow, so that text stays readable on a phone."""
COLUMN = 30
"""Most classes in one bar plot; more classes make more plots, side by side where they fit."""
MANY = 6 * COLUMN
"""Most classes that plots show one by one; of more, the first and the last ones."""
LOSSES = {
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


def per_class(rows: Rows, title: str, with_stage_1: bool) -> list[str]:
    """Average precision of each class, best first: the model as bars, SARL alone as marks.

    Args:
        rows: class, AP, AP_sarl, from the stage ``evaluate``.
        title: the model's name.
        with_stage_1: draw the marks.

    Returns:
        SVGs with up to 30 classes each; none without classes. Of more than ``MANY`` classes, the 30 best and the 30
        worst.
    """
    ordered = first_and_last(sorted(rows, key=lambda row: -_number(row["AP"])))
    size = ceil(len(ordered) / ceil(len(ordered) / COLUMN)) if ordered else 1
    return [_bars(ordered[i : i + size], size, title, with_stage_1) for i in range(0, len(ordered), size)]


def first_and_last(ordered: Sequence[Row]) -> Sequence[Row]:
    """All rows, or of more than ``MANY`` one column of the first and one of the last."""
    return ordered if len(ordered) <= MANY else [*ordered[:COLUMN], *ordered[-COLUMN:]]


def precision_recall(rows: Rows, threshold: float) -> str:
    """Precision over recall of all labels, with a mark at the threshold."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.4))
        axes = figure.subplots()
        axes.plot([_number(r["recall"]) for r in rows], [_number(r["precision"]) for r in rows], color=BLUE)
        above = [row for row in rows if _number(row["threshold"]) >= threshold]
        if above:
            at_threshold = min(above, key=lambda row: _number(row["threshold"]))
            x, y = _number(at_threshold["recall"]), _number(at_threshold["precision"])
            axes.plot(x, y, "o", color=ORANGE, ms=8)
            on_right = x > 60
            axes.annotate(
                f"threshold {threshold:g}",
                (x, y),
                xytext=(-8 if on_right else 8, -10),
                textcoords="offset points",
                ha="right" if on_right else "left",
                va="top",
            )
        axes.set(xlim=(0, 102), ylim=(0, 102), xlabel="recall, %", ylabel="precision, %")
        return svg(figure, "Precision over recall")


def reliability(rows: Rows, uncalibrated: Rows) -> str:
    """Reliability diagram: share of labels that are present over their score, and the diagonal."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.4))
        axes = figure.subplots()
        axes.plot([0, 100], [0, 100], color="grey", lw=1)
        for name, points, colour in (("uncalibrated", uncalibrated, ORANGE), ("calibrated", rows, BLUE)):
            score, present = ([_number(row[column]) for row in points] for column in ("score", "present"))
            axes.plot(score, present, "o-", color=colour, label=name)
        axes.legend(frameon=False)
        axes.set(xlim=(0, 102), ylim=(0, 102), xlabel="score, %", ylabel="labels that are present, %")
        return svg(figure, "Share of labels that are present, over their score")


def training(rows: Rows, stage: str) -> str:
    """mAP of raw and averaged weights on the select split, and each loss on its own scale, over epochs.

    Args:
        rows: of history.csv.
        stage: name of the stage, for screen readers.
    """
    losses = [loss for loss in LOSSES if any(_number(row.get(loss)) > 0 for row in rows)]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 2.2 + 1.25 * len(losses)))
        heights = [1.7, *[1.0] * len(losses)]
        panels = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
        epochs = [_number(row["epoch"]) for row in rows]
        _select(panels[0], epochs, rows)
        for axes, loss in zip(panels[1:], losses, strict=True):
            title, colour = LOSSES[loss]
            axes.plot(epochs, [_number(row[loss]) for row in rows], "o-", color=colour)
            axes.set_title(title)
            axes.margins(y=0.15)
        panels[-1].set_xlabel("epoch")
        panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
        if len(epochs) == 1:
            panels[-1].set_xlim(epochs[0] - 0.5, epochs[0] + 0.5)
        return svg(figure, f"Training of {stage}: mAP on the select split and the loss, by epoch")


def _select(axes: Axes, epochs: Sequence[float], rows: Rows) -> None:
    """Upper panel: mAP of the weights, and the selected epoch; without a select split, history.csv has zeros."""
    axes.set_title("mAP on the select split, %", pad=23)
    for name, label, colour in (("ema", "averaged weights", BLUE), ("raw", "raw weights", ORANGE)):
        values = [_number(row.get(f"select_mAP_{name}")) for row in rows]
        if any(value > 0 for value in values):
            axes.plot(epochs, values, "o-", color=colour, label=label)
    scored = [(value, -epoch) for row, epoch in zip(rows, epochs, strict=True)
              if (value := _number(row.get("select_mAP"))) > 0]  # fmt: skip
    if not scored:
        axes.text(0.5, 0.5, "no select split", transform=axes.transAxes, ha="center", va="center")
        return
    best, epoch = max(scored)
    axes.plot(-epoch, best, "o", ms=11, mfc="none", mec=GREEN, mew=2, label="best", clip_on=False)
    axes.margins(y=0.12)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, handlelength=1.2, columnspacing=1.2)


def _bars(rows: Rows, capacity: int, title: str, with_stage_1: bool) -> str:
    """One column of bars with room for ``capacity`` bars, so that columns side by side have one scale."""
    positions = list(range(len(rows)))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.95 + 0.22 * capacity))
        axes = figure.subplots()
        bars = axes.barh(positions, [_number(row["AP"]) for row in rows], color=BLUE, height=0.68)
        drawn: dict[str, Any] = {title: bars}
        if with_stage_1:
            marks = [_number(row["AP_sarl"]) for row in rows]
            [drawn["SARL alone"]] = axes.plot(marks, positions, "|", color=ORANGE, ms=10, mew=3)
        axes.set_yticks(positions, [fonts.short(row["class"]) for row in rows])
        axes.set(xlim=(0, 101), ylim=(capacity - 0.4, -0.6), xlabel="average precision, %")
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        axes.legend(
            [*drawn.values()],
            [*drawn],
            loc="lower right",
            bbox_to_anchor=(1, 1),
            ncols=2,
            handlelength=1.2,
        )
        return svg(figure, "Average precision by class")


def _number(text: str | None) -> float:
    """A cell of a CSV file as a number; NaN where it is empty."""
    return float(text) if text else float("nan")


def svg(figure: Figure, title: str) -> str:
    """The figure as an inline element: without file header and date, in the text colour of the page."""
    buffer = io.StringIO()
    with fonts.unwarned():  # the browser draws the text, in fonts of its own
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    element = buffer.getvalue()[buffer.getvalue().index("<svg") :]
    view_box = re.search(r'viewBox="([^"]+)"', element)
    opening_tag = f'<svg xmlns:xlink="http://www.w3.org/1999/xlink" role="img" aria-label="{title}"'
    element = re.sub(r"<svg [^>]*>", f'{opening_tag} viewBox="{view_box[1] if view_box else ""}">', element, count=1)
    element = re.sub(r"\s*<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    element = re.sub(r'<g id="[^"]*">', "<g>", element)  # ids must be unique, but a page has several plots
    return re.sub(r"(fill|stroke): #000000", r"\1: currentColor", element)
