"""The picture of a page of the comparison: rows with their seeds, and steps with their intervals."""

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.cell_figures import Cell, Cells, Step, best_map, old_rows
from benchmarks.questions import Pair, Question
from sadcl import files
from sadcl.report.model_plots import BLUE, ORANGE, STYLE

OLD = "#a0a0a0"
"""Colour of cells from before the averages were mended."""


def draw(path: Path, question: Question, cells: Cells, steps: Mapping[Pair, Step]) -> None:
    """Draw each row's seeds and their mean (left), and each step's difference with its interval (right).

    Args:
        path: of the PNG file.
        question: whose own rows and steps are drawn; the experiments are in the page's tables alone.
        cells: of one kind.
        steps: of that kind.
    """
    labels, old = question.rows, old_rows(cells)
    shown = {pair: steps[pair] for pair in question.steps if pair in steps}
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(11, 1.2 + 0.42 * max(len(question.rows), len(question.steps))))
        left, right = figure.subplots(1, 2)
        colours = {label: OLD if row in old else BLUE for row, label in labels.items()}
        _draw_rows(left, {label: cells.get(row, {}) for row, label in labels.items()}, colours)
        names = {pair: f"{labels[pair[0]]}\nagainst {labels[pair[1]]}" for pair in shown}
        colours = {names[pair]: OLD if pair[0] in old else ORANGE for pair in shown}
        _draw_steps(right, {names[pair]: step for pair, step in shown.items()}, colours)
        with files.atomic_write(path) as temporary_path:
            figure.savefig(temporary_path, format="png", dpi=110, metadata={"Software": None})


def _draw_rows(axes: Axes, rows: Mapping[str, Mapping[int, Cell]], colours: Mapping[str, str]) -> None:
    for height, (label, seeds) in enumerate(rows.items()):
        values = [best_map(cell) for cell in seeds.values()]
        axes.plot(values, [height] * len(values), "o", color=colours[label], alpha=0.45, mec="none", ms=6)
        if values:
            axes.plot(fmean(values), height, "|", color=colours[label], ms=20, mew=2.5)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    grey = "; grey: old averages" if OLD in colours.values() else ""
    axes.set_title(f"test mAP: seeds, and their mean{grey}")


def _draw_steps(axes: Axes, steps: Mapping[str, Step], colours: Mapping[str, str]) -> None:
    axes.axvline(0, color="grey", lw=1)
    for height, (name, step) in enumerate(steps.items()):
        axes.plot(step.best.difference, height, "o", color=colours[name], ms=7)
        if step.seeds > 1:
            axes.plot([step.best.low, step.best.high], [height, height], color=colours[name])
    axes.set_yticks(range(len(steps)), list(steps), fontsize=8.5)
    axes.set_ylim(max(len(steps), 1) - 0.5, -0.5)
    axes.set_title("difference, 95 % interval")
