"""Figures of the comparison's cells, and paired differences between rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from benchmarks.paired_bootstrap import Paired, paired
from benchmarks.questions import Pair, Question
from sadcl import files
from sadcl.errors import SadclError

DRAWS = 1000
"""Resamples of the test photos, the same in all cells."""
CONSTANT = 0
"""Seed of the cell of a row that draws no random number."""
FIX = "Run `dvc repro` in benchmarks/"

Cell = Mapping[str, Any]
Cells = Mapping[str, Mapping[int, Cell]]
"""A row's cells by its name and their seeds."""


@dataclass(frozen=True)
class Interval:
    """A mean difference and its 95 % interval, in percent; Student's t over the seeds."""

    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class Step:
    """The difference between two rows.

    Attributes:
        seeds: number of seeds that both rows have.
        best: in test mAP of the best epoch, over photos and seeds.
        last: in test mAP of the last epoch, over seeds; None for one seed.
        rare: in test mAP of the rarest classes, likewise; None where none of them has a test photo.
        select: in select mAP of the best epoch, likewise.
        class_f1, overall_f1: in CF1 and OF1 of the best epoch at a threshold of 0.5, likewise.
    """

    seeds: int
    best: Paired
    last: Interval | None
    rare: Interval | None
    select: Interval | None
    class_f1: Interval | None
    overall_f1: Interval | None

    @property
    def p(self) -> float:
        """Two-sided p-value of the difference at the best epoch, by a normal approximation."""
        return 2 * float(ndtr(-abs(self.best.difference) / max(self.best.error, 1e-12)))


def read_cells(folder: Path, question: Question) -> Cells:
    """Read a kind's cells of the question's rows; none where the folder is missing.

    Raises:
        SadclError: a file is no cell.
    """
    cells: dict[str, dict[int, Cell]] = {}
    for path in sorted(folder.glob("*.json")):
        cell = files.read_json(path, FIX)
        if not _is_cell(cell):
            raise SadclError("This is no cell of the comparison", where=path, fix=FIX)
        if cell["row"] in question.labels:
            cells.setdefault(cell["row"], {})[int(cell["seed"])] = cell
    return cells


def _is_cell(value: Any) -> bool:
    names = {"row", "seed", "test", "last", "AP", "resampled", "select", "device", "code"}
    if not isinstance(value, dict) or not names <= value.keys():
        return False
    return {"mAP", "CF1", "OF1"} <= value["test"].keys() and len(value["resampled"]) == DRAWS


@dataclass(frozen=True)
class ClassCounts:
    """Number of photos with each class [C]."""

    train: NDArray[np.int64]
    test: NDArray[np.int64]

    @property
    def rare(self) -> list[int]:
        """Indices of the third of the classes with the fewest training photos."""
        return sorted(np.argsort(self.train, kind="stable")[: len(self.train) // 3].tolist())


def read_class_counts(path: Path) -> ClassCounts:
    """Read the number of photos with each class.

    Raises:
        SadclError: the file is missing, or has no numbers of photos.
    """
    classes = files.read_json(path, FIX)
    try:
        return ClassCounts(*(np.array(list(classes[split].values()), np.int64) for split in ("train", "test")))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise SadclError("These are no numbers of photos by class", where=path, fix=FIX) from error


def best_map(cell: Cell) -> float:
    """Test mAP of the best epoch, in percent."""
    return float(cell["test"]["mAP"])


def last_map(cell: Cell) -> float:
    """Test mAP of the last epoch, in percent."""
    return float(cell["last"]["mAP"])


def rare_map(cell: Cell, rare: Sequence[int]) -> float | None:
    """Test mAP of the rare classes at the best epoch, in percent; None where none of them has a test photo."""
    known = [value for j in rare if (value := cell["AP"][j]) is not None]
    return fmean(known) if known else None


def differences(pairs: Sequence[Pair], cells: Cells, counts: ClassCounts) -> dict[Pair, Step]:
    """Compute the paired difference of each step whose rows share a seed.

    A baseline without random numbers has one cell, which is paired with every seed.
    """
    steps = {}
    for model, baseline in pairs:
        own, others = cells.get(model, {}), cells.get(baseline, {})
        if [*others] == [CONSTANT]:
            others = dict.fromkeys(own, others[CONSTANT])
        if seeds := sorted(own.keys() & others.keys()):
            steps[model, baseline] = _step([own[seed] for seed in seeds], [others[seed] for seed in seeds], counts)
    return steps


def _step(own: Sequence[Cell], others: Sequence[Cell], counts: ClassCounts) -> Step:
    resampled = [np.array([cell["resampled"] for cell in row]) for row in (own, others)]
    best = np.array([best_map(a) - best_map(b) for a, b in zip(own, others, strict=True)])
    last = [(last_map(a), last_map(b)) for a, b in zip(own, others, strict=True)]
    select = [(max(a["select"]), max(b["select"])) for a, b in zip(own, others, strict=True)]
    rarest = [(rare_map(a, counts.rare), rare_map(b, counts.rare)) for a, b in zip(own, others, strict=True)]
    class_f1, overall_f1 = (
        t_interval([(a["test"][name], b["test"][name]) for a, b in zip(own, others, strict=True)])
        for name in ("CF1", "OF1")
    )
    estimate = paired(resampled[0], resampled[1], best, counts.test)
    return Step(len(own), estimate, t_interval(last), t_interval(rarest), t_interval(select), class_f1, overall_f1)


def t_interval(values: Sequence[tuple[float | None, float | None]]) -> Interval | None:
    """Compute the mean difference of pairs and its 95 % interval by Student's t.

    None for a single pair, or where a value is missing.
    """
    differences = [a - b for a, b in values if a is not None and b is not None]
    if len(differences) < max(2, len(values)):
        return None
    mean, count = fmean(differences), len(differences)
    half = float(stdtrit(count - 1, 0.975)) * stdev(differences) / count**0.5
    return Interval(mean, mean - half, mean + half)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for their number (Holm 1979): below 0.05, all of a page's findings hold together at 95 %."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted
