"""Tables and pictures of the comparison: cells in, ``benchmarks/results`` out; nothing is trained here."""

from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sadcl import files
from sadcl.errors import SadclError
from sadcl.evaluation.bootstrap import Paired, paired
from sadcl.progress import say
from sadcl.report.model_plots import BLUE, ORANGE, STYLE

CELLS, RESULTS = Path("benchmarks/cells"), Path("benchmarks/results")
DRAWS = 1000
"""Resamples of the test photos, the same in all cells."""
FIX = "Run `dvc repro` in benchmarks/"
KINDS = {"frozen": "Backbone left as ImageNet made it", "tuned": "Backbone fine-tuned"}

Cells = Mapping[str, Mapping[int, Mapping[str, Any]]]
"""A row's cells by its name and their seeds."""
Steps = Mapping[tuple[str, str], tuple[int, Paired]]
"""How many seeds two rows share, and their difference."""


@dataclass(frozen=True)
class Question:
    """What a page answers.

    Attributes:
        name: of its files, and of the command.
        title: of the page.
        rows: in order, with their labels.
        steps: pairs of rows whose difference is asked for: one, and what it is held against.
    """

    name: str
    title: str
    rows: Mapping[str, str]
    steps: Sequence[tuple[str, str]]


COMPARE = Question(
    "compare",
    "SADCL and its peers' heads on coco-mini",
    {
        "pooling": "global average pooling",
        "csra": "CSRA",
        "ml_decoder": "ML-Decoder",
        "sarl": "SARL (Query2Label)",
        "zero": "SARL, stage 2 without contrast",
        "both": "SADCL",
    },
    [("sarl", "pooling"), ("sarl", "csra"), ("sarl", "ml_decoder"), ("both", "sarl"), ("both", "zero")],
)
ABLATE = Question(
    "ablate",
    "What each part of the method gives on coco-mini",
    {
        "pooling": "global average pooling",
        "sarl_no_encoder": "SARL without its encoder",
        "sarl": "SARL",
        "zero": "stage 2, both weights zero",
        "sample_to_sample": "stage 2, sample-to-sample",
        "prototype_to_sample": "stage 2, prototype-to-sample",
        "both": "stage 2, both (SADCL)",
    },
    [
        ("sarl_no_encoder", "pooling"), ("sarl", "sarl_no_encoder"), ("zero", "sarl"),
        ("sample_to_sample", "zero"), ("prototype_to_sample", "zero"), ("both", "zero"),
    ],
)  # fmt: skip


def write(question: Question, cells: Path = CELLS, out: Path = RESULTS) -> str:
    """Write a question's page and pictures from the cells that stand.

    Args:
        question: ``COMPARE`` or ``ABLATE``.
        cells: a folder a kind, in it a file a row and seed; beside it ``cost-KIND.json``.
        out: where NAME.md goes, and a NAME-KIND.png for each kind.

    Returns:
        A sentence.

    Raises:
        SadclError: there is no cell, or one can't be read.
    """
    kinds = {kind: read(cells / kind, question) for kind in KINDS}
    kinds = {kind: found for kind, found in kinds.items() if found}
    if not kinds:
        raise SadclError("There is no cell to compare", where=cells, fix=FIX)
    page = [f"# {question.title}", "", f"Made by `sadcl {question.name}` from the files in `{CELLS}`; nothing by hand."]
    for kind, found in kinds.items():
        steps, picture = differences(question, found), out / f"{question.name}-{kind}.png"
        _draw(picture, question, found, steps)
        page += ["", f"## {KINDS[kind]}", "", f"![{question.title}: {KINDS[kind]}]({picture.name})", ""]
        page += [*_rows(question, found), "", *_steps(question, steps), "", _made(found)]
        page += _cost(question, cells / f"cost-{kind}.json")
    files.write_text(out / f"{question.name}.md", "\n".join(page) + "\n")
    count = sum(len(seeds) for found in kinds.values() for seeds in found.values())
    return f"{count} cells are in {out / question.name}.md"


def read(folder: Path, question: Question) -> Cells:
    """The cells of a kind that a question asks for; none where there is no such folder.

    Raises:
        SadclError: a file is no cell.
    """
    found: dict[str, dict[int, Mapping[str, Any]]] = {}
    for path in sorted(folder.glob("*.json")):
        cell = files.read_json(path, FIX)
        if not _is_cell(cell):
            raise SadclError("This is no cell of the comparison", where=path, fix=FIX)
        if cell["row"] in question.rows:
            found.setdefault(cell["row"], {})[int(cell["seed"])] = cell
    return found


def _is_cell(value: Any) -> bool:
    named = isinstance(value, dict) and {"row", "seed", "test", "resampled", "select", "device", "code"} <= value.keys()
    return named and {"mAP", "CF1", "OF1"} <= value["test"].keys() and len(value["resampled"]) == DRAWS


def differences(question: Question, cells: Cells) -> Steps:
    """Paired difference in test mAP of each step whose rows share a seed."""
    found = {}
    for ours, theirs in question.steps:
        seeds = sorted(cells.get(ours, {}).keys() & cells.get(theirs, {}).keys())
        if seeds:
            resampled = [np.array([cells[row][seed]["resampled"] for seed in seeds]) for row in (ours, theirs)]
            apart = np.array([_map(cells[ours][seed]) - _map(cells[theirs][seed]) for seed in seeds])
            found[ours, theirs] = len(seeds), paired(resampled[0], resampled[1], apart)
    return found


def _rows(question: Question, cells: Cells) -> list[str]:
    lines = ["| head | seeds | test mAP | best select mAP | CF1 | OF1 |", "|---|---|---|---|---|---|"]
    for row, label in question.rows.items():
        some = list(cells.get(row, {}).values())
        if not some:
            lines.append(f"| {label} | 0 | not run yet | | | |")
            continue
        figures = [[_map(cell) for cell in some], [max(cell["select"]) for cell in some]]
        figures += [[cell["test"][name] for cell in some] for name in ("CF1", "OF1")]
        lines.append(f"| {label} | {len(some)} | " + " | ".join(map(_spread, figures)) + " |")
    return [*lines, "", "Mean and standard deviation over the seeds, in percent; CF1 and OF1 at a threshold of 0.5."]


def _steps(question: Question, steps: Steps) -> list[str]:
    lines = ["| step | seeds | difference in test mAP | 95 % interval | shows from |", "|---|---|---|---|---|"]
    for (ours, theirs), (seeds, found) in steps.items():
        clear = "**" if seeds > 1 and not found.low <= 0 <= found.high else ""
        interval = f"{found.low:+.2f} to {found.high:+.2f} | {found.shows:.2f}" if seeds > 1 else "one seed | -"
        figures = f"{clear}{found.difference:+.2f}{clear} | {interval}"
        lines.append(f"| {question.rows[ours]}, against {question.rows[theirs]} | {seeds} | {figures} |")
    return [
        *lines,
        "",
        "Paired by seed and photo; the interval is the basic bootstrap's, over photos and seeds at once. Bold: clear "
        "of zero. *Shows from*: the smallest true difference that so many seeds and photos find four times in five.",
    ]


def _cost(question: Question, path: Path) -> list[str]:
    if not path.exists():
        return []
    cost = files.read_json(path, FIX)
    if not isinstance(cost, dict) or not {"rows", "device"} <= cost.keys():
        raise SadclError("These are no costs of the comparison", where=path, fix=FIX)
    lines = [
        "| | parameters of the head | multiply-adds a photo | training, images/s | inference, images/s |",
        "|---|---|---|---|---|",
    ]
    for row, label in question.rows.items():
        one = cost["rows"].get(row)
        if one is not None:
            size = f"{one['parameters'] / 1e6:.2f} M | {one['multiply_adds'] / 1e6:,.0f} M"
            lines.append(f"| {label} | {size} | {one['training']:,.0f} | {one['inference']:,.0f} |")
    return ["", *lines, "", f"Measured in one run on {cost['device']}; feature maps that are kept cost nothing here."]


def _made(cells: Cells) -> str:
    every = [cell for seeds in cells.values() for cell in seeds.values()]
    devices = sorted({f"{cell['device']}, {cell.get('precision', '32-true')}" for cell in every})
    codes = sorted({str(cell["code"]) for cell in every})
    mixed = f" Made by {len(codes)} states of the code ({', '.join(codes)})." if len(codes) > 1 else ""
    return f"Made on: {'; '.join(devices)}.{mixed}"


def _spread(values: Sequence[float]) -> str:
    return f"{fmean(values):.2f}" + (f" ± {stdev(values):.2f}" if len(values) > 1 else "")


def _map(cell: Mapping[str, Any]) -> float:
    return float(cell["test"]["mAP"])


def _draw(path: Path, question: Question, cells: Cells, steps: Steps) -> None:
    """Left each row's seeds and their mean, right each step's difference with its interval."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(11, 1.2 + 0.42 * max(len(question.rows), len(question.steps))))
        left, right = figure.subplots(1, 2)
        _draw_rows(left, {label: cells.get(row, {}) for row, label in question.rows.items()})
        _draw_steps(right, {f"{question.rows[a]}\nagainst {question.rows[b]}": one for (a, b), one in steps.items()})
        with files.atomic_write(path) as beside:
            figure.savefig(beside, format="png", dpi=110, metadata={"Software": None})


def _draw_rows(axes: Axes, rows: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> None:
    for height, seeds in enumerate(rows.values()):
        values = [_map(cell) for cell in seeds.values()]
        axes.plot(values, [height] * len(values), "o", color=BLUE, alpha=0.45, mec="none", ms=6)
        if values:
            axes.plot(fmean(values), height, "|", color=BLUE, ms=20, mew=2.5)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_title("test mAP: seeds, and their mean")


def _draw_steps(axes: Axes, steps: Mapping[str, tuple[int, Paired]]) -> None:
    axes.axvline(0, color="grey", lw=1)
    for height, (seeds, one) in enumerate(steps.values()):
        axes.plot(one.difference, height, "o", color=ORANGE, ms=7)
        if seeds > 1:
            axes.plot([one.low, one.high], [height, height], color=ORANGE)
    axes.set_yticks(range(len(steps)), list(steps), fontsize=8.5)
    axes.set_ylim(max(len(steps), 1) - 0.5, -0.5)
    axes.set_title("difference, 95 % interval")


def main() -> None:
    """``python -m benchmarks.comparison compare|ablate``: write the tables and pictures from the committed cells."""
    parser = ArgumentParser(description=main.__doc__)
    parser.add_argument("question", choices=[COMPARE.name, ABLATE.name])
    try:
        say(write({question.name: question for question in (COMPARE, ABLATE)}[parser.parse_args().question]))
    except SadclError as error:
        parser.exit(2, f"comparison: {error}\n")


if __name__ == "__main__":
    main()
