"""Plots of the data report, in the style of the other pages (``plots``)."""

from collections.abc import Sequence
from math import ceil

import matplotlib
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from sadcl.data.validation.drift import Distribution
from sadcl.report.model_plots import BLUE, COLUMN, ORANGE, STYLE, WIDTH, short, svg

CROWD = 30
"""Classes in the heat map; with more of them nobody could read their names."""
NAMED = 6
"""Points whose names stand beside them."""


def frequencies(classes: Sequence[str], learnt: np.ndarray, test: np.ndarray) -> list[str]:
    """Share of photos with each class, the most frequent first: train and select as bars, test as marks.

    Args:
        classes: names [C].
        learnt, test: percent of photos [C].

    Returns:
        As many SVGs as hold all classes at 30 each.
    """
    order = np.argsort(-learnt, kind="stable")
    size = ceil(len(order) / ceil(len(order) / COLUMN)) if len(order) else 1
    most = float(max(learnt.max(initial=0), test.max(initial=0), 1e-9))
    return [
        _bars([classes[j] for j in part], learnt[part], test[part], size, most)
        for part in (order[i : i + size] for i in range(0, len(order), size))
    ]


def together(classes: Sequence[str], counts: np.ndarray) -> tuple[str, float]:
    """Heat map: of the photos with the class of a row, the share with the class of a column.

    Args:
        classes: names of at least one class [K].
        counts: photos with both [K, K]; those with one on the diagonal.

    Returns:
        SVG, and the share that has the full colour.
    """
    shares = counts / np.maximum(np.diag(counts), 1)[:, None]
    np.fill_diagonal(shares, 0)  # each class goes with itself, which says nothing
    most = max(float(shares.max()), 1e-9)
    ink = np.empty((*shares.shape, 4))  # more or less see-through, so that it suits a light and a dark page
    ink[..., :3], ink[..., 3] = to_rgb(BLUE), shares / most
    with matplotlib.rc_context(STYLE):
        names = [short(name) for name in classes]
        side = 0.4 + 0.1 * max(map(len, names)) + max(0.2 * len(names), 1.6)
        figure = Figure(figsize=(side, side))
        axes = figure.subplots()
        axes.imshow(ink, interpolation="nearest")
        axes.set_xticks(range(len(names)), names, rotation=90)
        axes.set_yticks(range(len(names)), names)
        axes.tick_params(length=0)
        axes.grid(visible=False)
        return svg(figure, "Which classes stand together"), most


def spread(before: Distribution | None, now: Distribution, words: str) -> str:
    """Share of photos up to each value, as it was accepted and as it is."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 2.7))
        axes = figure.subplots()
        for kind, label, colour in ((before, "accepted", ORANGE), (now, "now", BLUE)):
            if kind is not None and kind.count:
                places = np.repeat(kind.values, 2)
                shares = 100 * np.stack([kind.below, kind.upto], axis=1).ravel()
                axes.plot(places, shares, color=colour, label=label, lw=2.6 if colour == ORANGE else 1.6)
        if before is not None:
            axes.legend(loc="lower right")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(ylim=(-2, 102), xlabel=words, ylabel="photos up to there, %")
        return svg(figure, f"How {words} is spread")


def moved(names: Sequence[str], before: np.ndarray, now: np.ndarray, words: str, relative: bool) -> str:
    """Shares before and now as points; what moved furthest has its name beside it.

    Args:
        names: [K].
        before, now: percent [K].
        words: of what.
        relative: to what it was, on axes that tell small shares apart; else in points.
    """
    most = max(float(np.max([*before, *now], initial=0)) * 1.08, 1e-9)
    far = np.abs(now - before) / (np.maximum(before, 0.5) if relative else most / 5)
    named = [i for i in np.argsort(-far, kind="stable")[:NAMED] if far[i] > 0.2]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.4))
        axes = figure.subplots()
        axes.plot([0, most], [0, most], color="grey", lw=1)
        axes.plot(before, now, "o", color=BLUE, alpha=0.7, rasterized=len(before) > 2 * NAMED * COLUMN)
        for i in named:
            left = before[i] > (most**0.5 if relative else most / 2)
            axes.annotate(
                short(names[i]),
                (before[i], now[i]),
                xytext=(-6 if left else 6, 0),
                textcoords="offset points",
                ha="right" if left else "left",
                va="center",
            )
        if relative:
            axes.set_xscale("symlog", linthresh=1)
            axes.set_yscale("symlog", linthresh=1)
            axes.xaxis.set_major_formatter(ScalarFormatter())
            axes.yaxis.set_major_formatter(ScalarFormatter())
        axes.set(xlim=(0, most), ylim=(0, most), xlabel=f"{words}: accepted, %", ylabel="now, %")
        return svg(figure, f"{words}, accepted and now")


def _bars(names: Sequence[str], learnt: np.ndarray, test: np.ndarray, room: int, most: float) -> str:
    """One column of bars, all on one scale."""
    places = np.arange(len(names))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.95 + 0.22 * room))
        axes = figure.subplots()
        bars = axes.barh(places, learnt, color=BLUE, height=0.68)
        marks = axes.plot(test, places, "|", color=ORANGE, ms=10, mew=3)
        axes.set_yticks(places, [short(name) for name in names])
        axes.set(xlim=(0, most * 1.03), ylim=(room - 0.4, -0.6), xlabel="photos that show it, %")
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        axes.legend(
            [bars, *marks], ["train and select", "test"], loc="lower left", bbox_to_anchor=(0, 1), ncols=2,
            handlelength=1.2,
        )  # fmt: skip
        return svg(figure, "Share of photos with each class")
