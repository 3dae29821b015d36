"""The picture of a page of the comparison: rows with their seeds, and steps with their intervals."""

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.cell_figures import Cell, Cells, Step, best_map
from benchmarks.questions import Pair, Question
from sadcl import files
from sadcl.report.model_plots import BLUE, ORANGE, STYLE


def draw(path: Path, question: Question, cells: Cells, steps: Mapping[Pair, Step]) -> None:
    """Draw each row's seeds and their mean (left), and each step's difference with its interval (right).

    Args:
        path: of the PNG file.
        question: whose own rows and steps are drawn; the experiments are in the page's tables alone.
        cells: of one kind.
        steps: of that kind.
    """
    labels = {row: label for row, label in question.rows.items() if row in cells}
    shown = {pair: steps[pair] for pair in question.steps if pair in steps}
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(11, 1.2 + 0.42 * max(len(labels), len(question.steps))))
        left, right = figure.subplots(1, 2)
        _draw_rows(left, {label: cells[row] for row, label in labels.items()})
        names = {pair: f"{labels[pair[0]]}\nagainst {labels[pair[1]]}" for pair in shown}
        _draw_steps(right, {names[pair]: step for pair, step in shown.items()})
        with files.atomic_write(path) as temporary_path:
            figure.savefig(temporary_path, format="png", dpi=110, metadata={"Software": None})


def _draw_rows(axes: Axes, rows: Mapping[str, Mapping[int, Cell]]) -> None:
    for height, seeds in enumerate(rows.values()):
        values = [best_map(cell) for cell in seeds.values()]
        axes.plot(values, [height] * len(values), "o", color=BLUE, alpha=0.45, mec="none", ms=6)
        axes.plot(fmean(values), height, "|", color=BLUE, ms=20, mew=2.5)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_ylim(max(len(rows), 1) - 0.5, -0.5)
    axes.set_title("test mAP: seeds, and their mean")


def _draw_steps(axes: Axes, steps: Mapping[str, Step]) -> None:
    axes.axvline(0, color="grey", lw=1)
    for height, step in enumerate(steps.values()):
        axes.plot(step.best.difference, height, "o", color=ORANGE, ms=7)
        if step.seeds > 1:
            axes.plot([step.best.low, step.best.high], [height, height], color=ORANGE)
    axes.set_yticks(range(len(steps)), list(steps), fontsize=8.5)
    axes.set_ylim(max(len(steps), 1) - 0.5, -0.5)
    axes.set_title("difference, 95 % interval")
