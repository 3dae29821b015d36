"""Plots of the data report as SVG, in the style of ``model_plots``."""

from collections.abc import Sequence
from math import ceil

import matplotlib
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from sadcl.data.validation.drift import Distribution
from sadcl.names import columns
from sadcl.report import fonts
from sadcl.report.model_plots import BLUE, COLUMN, ORANGE, STYLE, WIDTH, first_and_last, svg

MAX_HEATMAP = 30
"""Most classes in the heat map, so that their names stay readable."""
MAX_NAMES = 6
"""Most points with a name."""


def frequencies(classes: Sequence[str], not_test: np.ndarray, test: np.ndarray) -> list[str]:
    """Share of photos with each class, the most frequent first: train and select as bars, test as marks.

    Args:
        classes: names [C].
        not_test, test: percent of photos in train and select, and in test [C].

    Returns:
        As many SVGs as hold all classes at 30 each. Of more than ``MANY`` classes, the 30 most and the 30 least
        frequent.
    """
    order = np.array(first_and_last(np.argsort(-not_test, kind="stable").tolist()), np.int64)
    size = ceil(len(order) / ceil(len(order) / COLUMN)) if len(order) else 1
    maximum = float(max(not_test.max(initial=0), test.max(initial=0), 1e-9))
    return [
        _bars([classes[j] for j in indices], not_test[indices], test[indices], size, maximum)
        for indices in (order[i : i + size] for i in range(0, len(order), size))
    ]


def co_occurrence(classes: Sequence[str], counts: np.ndarray) -> tuple[str, float]:
    """Heat map of co-occurrence: the share of a row's photos that also have the class of a column.

    Args:
        classes: names of at least one class [K].
        counts: photos with both classes [K, K]; on the diagonal, photos with the class.

    Returns:
        SVG, and the share with the full colour.
    """
    shares = counts / np.maximum(np.diag(counts), 1)[:, None]
    np.fill_diagonal(shares, 0)  # a class always occurs with itself
    maximum = max(float(shares.max()), 1e-9)
    ink = np.empty((*shares.shape, 4))  # opacity, not lightness, so that it suits light and dark pages
    ink[..., :3], ink[..., 3] = to_rgb(BLUE), shares / maximum
    with matplotlib.rc_context(STYLE):
        names = [fonts.short(name) for name in classes]
        side = max(0.4 + 0.1 * max(map(columns, names)) + 0.2 * len(names), WIDTH)
        figure = Figure(figsize=(side, side))
        axes = figure.subplots()
        axes.imshow(ink, interpolation="nearest")
        axes.set_xticks(range(len(names)), names, rotation=90)
        axes.set_yticks(range(len(names)), names)
        axes.tick_params(length=0)
        axes.grid(visible=False)
        return svg(figure, "Classes that occur together"), maximum


def cumulative_shares(before: Distribution | None, now: Distribution, label: str) -> str:
    """Cumulative share of photos over a value, of the accepted and the current data."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 2.7))
        axes = figure.subplots()
        for distribution, name, colour in ((before, "accepted", ORANGE), (now, "now", BLUE)):
            if distribution is not None and distribution.count:
                values = np.repeat(distribution.values, 2)
                shares = 100 * np.stack([distribution.below, distribution.upto], axis=1).ravel()
                axes.plot(values, shares, color=colour, label=name, lw=2.6 if colour == ORANGE else 1.6)
        if before is not None:
            axes.legend(loc="lower right")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(ylim=(-2, 102), xlabel=label, ylabel="cumulative photos, %")
        return svg(figure, f"Distribution of {label}")


def before_and_after(names: Sequence[str], before: np.ndarray, now: np.ndarray, label: str, relative: bool) -> str:
    """Accepted and current shares as points; the largest changes have names.

    Args:
        names: [K].
        before, now: percent [K].
        label: meaning of the shares.
        relative: measure changes relative to the share, on logarithmic axes; else in percentage points.
    """
    maximum = max(float(np.max([*before, *now], initial=0)) * 1.08, 1e-9)
    distance = np.abs(now - before) / (np.maximum(before, 0.5) if relative else maximum / 5)
    named = [i for i in np.argsort(-distance, kind="stable")[:MAX_NAMES] if distance[i] > 0.2]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.4))
        axes = figure.subplots()
        axes.plot([0, maximum], [0, maximum], color="grey", lw=1)
        axes.plot(before, now, "o", color=BLUE, alpha=0.7, rasterized=len(before) > 2 * MAX_NAMES * COLUMN)
        for i in named:
            on_right = before[i] > (maximum**0.5 if relative else maximum / 2)
            axes.annotate(
                fonts.short(names[i]),
                (before[i], now[i]),
                xytext=(-6 if on_right else 6, 0),
                textcoords="offset points",
                ha="right" if on_right else "left",
                va="center",
            )
        if relative:
            axes.set_xscale("symlog", linthresh=1)
            axes.set_yscale("symlog", linthresh=1)
            axes.xaxis.set_major_formatter(ScalarFormatter())
            axes.yaxis.set_major_formatter(ScalarFormatter())
        axes.set(xlim=(0, maximum), ylim=(0, maximum), xlabel=f"{label}: accepted, %", ylabel="now, %")
        return svg(figure, f"{label}, accepted and now")


def _bars(names: Sequence[str], not_test: np.ndarray, test: np.ndarray, room: int, maximum: float) -> str:
    """One column of bars; all columns have one scale."""
    values = np.arange(len(names))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.95 + 0.22 * room))
        axes = figure.subplots()
        bars = axes.barh(values, not_test, color=BLUE, height=0.68)
        marks = axes.plot(test, values, "|", color=ORANGE, ms=10, mew=3)
        axes.set_yticks(values, [fonts.short(name) for name in names])
        axes.set(xlim=(0, maximum * 1.03), ylim=(room - 0.4, -0.6), xlabel="photos with the class, %")
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        axes.legend(
            [bars, *marks], ["train and select", "test"], loc="lower right", bbox_to_anchor=(1, 1), ncols=2,
            handlelength=1.2,
        )  # fmt: skip
        return svg(figure, "Share of photos with each class")
