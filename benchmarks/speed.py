"""``make bench``: cost of sadcl's code against plain implementations, as ratios of medians in one run.

Prints each row with its bound, writes a JSON file, and ends with status 1 where a row falls short. With words
(``python -m benchmarks.speed px``) it measures only rows whose names contain one of them, and writes nothing.
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

from benchmarks import batches, coverage, loaders, networks, pairs, probes, runtimes  # noqa: E402

RESULT = Path("benchmarks/results/speed.json")


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        name: of the comparison.
        make: prepares both sides.
        at_least: promised ratio plain / ours, or None.
        at_most: promised cost of sadcl's side, or None; the plain side then does not run.
        repeats: measured rounds.
        cost: measures one side; seconds by default.
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
    """Measure the wall time of a call; short calls are repeated for 0.2 s and averaged."""
    started, calls, gone = time.perf_counter(), 0, 0.0
    while gone < 0.2:
        side()
        calls, gone = calls + 1, time.perf_counter() - started
    return gone / calls


def value(side: pairs.Side) -> float:
    """Return the number that a side computes."""
    return float(str(side()))


def peak(side: pairs.Side) -> float:
    """Measure the peak memory of a call in MB, beyond what stays allocated after it (gradients)."""
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
    """Silence stderr below Python: torch's profiler prints its own start and end there."""
    stderr, devnull = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(devnull)


LOADING = (
    Row("stage-2 batches at 448 px, the literature's loader beside", loaders.training_448, 2.5),
    Row("the same at 448 px, of files as large as COCO's", loaders.training_448_grain, repeats=3),
    Row("stage-2 batches at 224 px, from shards of short side 256", loaders.training_224, 5, repeats=9),
    Row("the same from shards on S3 with a filled cache, local ones beside", loaders.remote_shards, 0.95, repeats=9),
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
    Row("scores of three networks of one backbone, each alone beside", networks.shared_backbones, 2, repeats=3),
    Row("batch prediction of files, the network on tensors beside", batches.ready_tensors, 0.9),
    Row("the same, photo by photo beside", batches.one_by_one, 2, repeats=3),
    Row("the same on two Ray nodes, two local processes beside", batches.ray, 0.85, repeats=3),
    Row("the same on two Ray nodes, Ray Data on two others beside", batches.ray_data, 2.5, repeats=3),
    Row("a second run of 50,000 finished photos, their listing beside", batches.second_run, 1 / 1.2),
    Row("plan of 10^7 listed photos", batches.planning, at_most=60, repeats=1, cost=value),
    Row("the same, peak memory", batches.planning_memory, at_most=300, repeats=1, cost=value, unit="MB"),
    Row("a batch with folded norms, unfolded ones beside", batches.folding, 1, repeats=9),
    Row("linear probe of 1,700 x 80, scikit-learn's beside", probes.probe, 5, repeats=3),
    Row("a step of pooling on cached maps, the backbone beside", probes.cached_pooling, 10, repeats=3),
    Row("the same of SARL, whose own cost stays", probes.cached_step, 1.5, repeats=3),
    Row("a step of SARL on cached first stages, computing them beside", probes.cached_stages, 1.25, repeats=9),
    *LOADING,
)


def main(words: Sequence[str] = ()) -> int:
    """Measure every row, or those whose names contain one of the words; return the exit status."""
    print(f"{'':60}{'ours':>10}{'plain':>10}{'':4}{'plain / ours':>13}{'at least':>10}")
    try:
        results = [*_rows([row for row in ROWS if not words or any(word in row.name for word in words)])]
    finally:
        batches.close()
    if words:
        return int(not all(result.holds for result in results))
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
        "photos": next((str(path.parent) for path in loaders.originals()), None),
    }
    tables = {"rows": [asdict(result) for result in results], "coverage": [asdict(row) for row in covered]}
    files.write_json(RESULT, {"machine": machine, **tables, "runtimes": asdict(computed)})
    short = [result.name for result in results if not result.holds]
    short += [f"intervals at {row.figure} {row.truth:.1f}" for row in covered if not row.holds]
    print(f"The figures are in {RESULT}." + (f" Short: {'; '.join(short)}." if short else ""))
    return 1 if short else 0


def _rows(rows: Sequence[Row]) -> Iterator[Measured]:
    """Measure rows and print them; those that lack their input are named."""
    for row in rows:
        lacks = missing(row)
        if lacks:
            print(f"{row.name:60}{lacks:>34}")
            continue
        result = measure(row)
        bound = "" if result.at_least is None else f"{result.at_least:10.3g}" + ("" if result.holds else "  short")
        plain = "-" if result.plain is None else f"{result.plain:.3f}"
        ratio = f"at most {result.at_most:g}" if result.ratio is None else f"{result.ratio:.2f}"
        print(f"{result.name:60}{result.ours:10.3f}{plain:>10} {result.unit:3}{ratio:>13}{bound}", flush=True)
        yield result


def missing(row: Row) -> str:
    """Name an input that a row lacks; empty where it lacks none."""
    if row in LOADING and not loaders.originals():
        return "no photos here: run make demo first"
    if row.make is loaders.scores and not (loaders.MODEL / "weights.safetensors").exists():
        return "no model here: run make demo first"
    return ""


def measure(row: Row) -> Measured:
    """Measure both sides in turns after a warm-up round; medians of costs and of their ratios."""
    (our_side, plain_side), cost = row.make(), row.cost or seconds
    if row.at_most is not None:
        median = statistics.median([cost(our_side) for _ in range(row.repeats + 1)][1:])
        return Measured(row.name, row.unit, median, None, None, None, row.at_most, median <= row.at_most)
    turns = [(cost(our_side), cost(plain_side)) for _ in range(row.repeats + 1)][1:]
    median, plain = (statistics.median(costs) for costs in zip(*turns, strict=True))
    ratio = statistics.median(other_cost / max(own_cost, 1e-9) for own_cost, other_cost in turns)
    holds = row.at_least is None or ratio >= row.at_least
    return Measured(row.name, row.unit, median, plain, ratio, row.at_least, None, holds)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
