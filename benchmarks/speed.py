"""``make bench``: what the project's own code costs beside the plain way, as ratios of medians in one run.

Prints each row with its bound, keeps the figures in a JSON, and ends with 1 where a row falls short. With words
(``python -m benchmarks.speed px``) only the rows whose names hold one of them, and nothing is kept.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from sadcl import files, processes

processes.before_torch()

import torch  # noqa: E402 - reads its environment when it is loaded

from benchmarks import coverage, loaders, networks, pairs, runtimes  # noqa: E402

RESULT = Path("benchmarks/results/speed.json")


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        name: what is compared.
        make: prepares both sides.
        at_least: the ratio plain / ours that is promised, or None.
        at_most: the cost of our side that is promised, or None; the plain side is then not run.
        repeats: rounds that count.
        cost: of one side: seconds by default.
        unit: of the cost.
    """

    name: str
    make: Callable[[], pairs.Pair]
    at_least: float | None = None
    at_most: float | None = None
    repeats: int = 5
    cost: Callable[[pairs.Side], float] | None = None
    unit: str = "s"


@dataclass(frozen=True)
class Measured:
    """Medians of both sides, and whether the row holds."""

    name: str
    unit: str
    ours: float
    plain: float | None
    ratio: float | None
    at_least: float | None
    at_most: float | None
    holds: bool


def seconds(side: pairs.Side) -> float:
    """Wall time of a call; short ones are called until a fifth of a second has gone, for their mean."""
    started, calls, gone = time.perf_counter(), 0, 0.0
    while gone < 0.2:
        side()
        calls, gone = calls + 1, time.perf_counter() - started
    return gone / calls


def value(side: pairs.Side) -> float:
    """What a side itself measures."""
    return float(str(side()))


def peak(side: pairs.Side) -> float:
    """MB that one call holds at most, above what stood before and without what it leaves behind (gradients)."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    with silence(), torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        side()
    results = profile.profiler.kineto_results  # type: ignore[union-attr]
    held = most = 0
    for event in sorted(
        (event for event in results.events() if event.name() == "[memory]"), key=lambda event: event.start_ns()
    ):
        held += event.nbytes()
        most = max(most, held)
    return (most - held) / 1e6


@contextmanager
def silence() -> Iterator[None]:
    """Torch's profiler tells of its own start and end on stderr, from below Python."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


LOADING = (
    Row("stage-2 batches at 448 px, the literature's loader beside", loaders.training_448, 2.5),
    Row("the same at 448 px, of files as large as COCO's", loaders.training_448_grain, repeats=3),
    Row("stage-2 batches at 224 px, from shards of short side 256", loaders.training_224, 5, repeats=9),
    Row("test batches at 448 px, the literature's loader beside", loaders.evaluation_448, 2.5),
    Row("the same at 448 px, of files as large as COCO's", loaders.evaluation_448_grain, repeats=3),
    Row("test batches at 448 px, decoding alone beside", loaders.decoding, repeats=3),
    Row("stage-2 batches at 448 px, decoding alone beside", loaders.training_decoding, repeats=3),
    Row("shards of 256 px from 1280 x 960, a Pillow loop beside", loaders.prepare_full, 3, repeats=3),
    Row("shards of 256 px from 640 x 480, a Pillow loop beside", loaders.prepare_large, repeats=3),
    Row("pixels at 448 px, from the plain chain's", loaders.pixels_448, None, 1.5, 1, value, "/255"),
    Row("the same at 224 px, from those shards", loaders.pixels_224, None, 1.5, 1, value, "/255"),
    Row("scores of test photos, from the plain chain's", loaders.scores, None, 0.01, 1, value, ""),
)
"""Rows that need photos, and the last one a model."""

ROWS = (
    Row("sample-to-sample, B 32, C 80, E 1024, all entries beside", pairs.contrast, 100),
    Row("the same, peak memory beyond the gradient", pairs.contrast, 100, repeats=1, cost=peak, unit="MB"),
    Row("the same at C 500, beyond the gradient", pairs.contrast_500, at_most=1000, repeats=1, cost=peak, unit="MB"),
    Row("memory takes 200 features, a loop beside", pairs.memory, 3),
    Row("all figures of 40,137 x 80, the literature's pass beside", pairs.figures, 40, repeats=3),
    Row("the same, scikit-learn's AP alone beside", pairs.average_precision),
    Row("100 resamples of them, each written out beside", pairs.bootstrap, 10, repeats=1),
    Row("1,000 resamples of them, as the gate takes them", pairs.bootstrap_1000, at_most=60, repeats=1),
    Row("SARL at D 2048, torch's own attention beside", networks.head, 1, repeats=3),
    Row("the same, peak memory beyond the gradients", networks.head, 1, repeats=1, cost=peak, unit="MB"),
    Row("one photo, R101 at 448, memory and prototypes beside", networks.inference, 1.2),
    Row("an update of stage 2, Lite0 at 224, B 32, a plain one beside", networks.training, 1.5, repeats=3),
    Row("a step at stride 16, ended beside dilated", networks.step),
    *LOADING,
)


def main(words: Sequence[str] = ()) -> int:
    """Measure every row, or those whose names hold one of the words; the exit status."""
    print(f"{'':60}{'ours':>10}{'plain':>10}{'':4}{'plain / ours':>13}{'at least':>10}")
    found = []
    for row in (row for row in ROWS if not words or any(word in row.name for word in words)):
        lacks = missing(row)
        if lacks:
            print(f"{row.name:60}{lacks:>34}")
            continue
        one = measure(row)
        found.append(one)
        bound = "" if one.at_least is None else f"{one.at_least:10g}" + ("" if one.holds else "  short")
        plain = "-" if one.plain is None else f"{one.plain:.3f}"
        ratio = f"at most {one.at_most:g}" if one.ratio is None else f"{one.ratio:.2f}"
        print(f"{one.name:60}{one.ours:10.3f}{plain:>10} {one.unit:3}{ratio:>13}{bound}", flush=True)
    if words:
        return int(not all(one.holds for one in found))
    computed = runtimes.measure()
    for line in runtimes.lines(computed):
        print(line, flush=True)
    covered = coverage.measure()
    for line in coverage.lines(covered):
        print(line, flush=True)
    machine = {
        "cores": os.cpu_count(),
        "torch": torch.__version__.partition("+")[0],
        "threads": torch.get_num_threads(),
    }
    tables = {"rows": [asdict(one) for one in found], "coverage": [asdict(one) for one in covered]}
    files.write_json(RESULT, {"machine": machine, **tables, "runtimes": asdict(computed)})
    short = [one.name for one in found if not one.holds]
    short += [f"intervals at {one.figure} {one.truth:.1f}" for one in covered if not one.holds]
    print(f"The figures are in {RESULT}." + (f" Short: {'; '.join(short)}." if short else ""))
    return 1 if short else 0


def missing(row: Row) -> str:
    """What must be there first, where it is not."""
    if row in LOADING and not loaders.originals():
        return "no photos here: run make demo first"
    if row.make is loaders.scores and not (loaders.MODEL / "weights.safetensors").exists():
        return "no model here: run make demo first"
    return ""


def measure(row: Row) -> Measured:
    """Both sides in turns, after one round that does not count; medians, that of the turns' ratios included."""
    (our_side, plain_side), cost = row.make(), row.cost or seconds
    if row.at_most is not None:
        ours = statistics.median([cost(our_side) for _ in range(row.repeats + 1)][1:])
        return Measured(row.name, row.unit, ours, None, None, None, row.at_most, ours <= row.at_most)
    turns = [(cost(our_side), cost(plain_side)) for _ in range(row.repeats + 1)][1:]
    ours, plain = (statistics.median(costs) for costs in zip(*turns, strict=True))
    ratio = statistics.median(beside / max(own, 1e-9) for own, beside in turns)
    holds = row.at_least is None or ratio >= row.at_least
    return Measured(row.name, row.unit, ours, plain, ratio, row.at_least, None, holds)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
