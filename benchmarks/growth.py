"""Growth of the steps before and after training with photos and classes: CPU seconds, peak memory, exponent.

Each step runs in a process of its own, on generated photos or on generated scores; peak memory is that process's
largest resident set. Groups: ``photos`` (before training), ``evaluation``, ``scores``. With ``--inputs FOLDER`` the
generated files are kept there, and used again by another run.
"""

import importlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import log
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import growth_data
from sadcl import files, params
from sadcl.evaluation import calibration, curves, inference, label_errors, scores
from sadcl.evaluation.gate import champion
from sadcl.evaluation.gate.verdict import verdict
from sadcl.progress import say
from sadcl.review import side_by_side

RESULTS = Path("benchmarks/results")
MODELS = ("sadcl", "sadcl_other", "sarl", "probe")
CLASSES, SIZES = 80, (10_000, 100_000, 1_000_000)
MANY_CLASSES = (500, 5_000)
SCORES, RIVAL, METRICS = "scores.parquet", "rival.parquet", "metrics.json"
WEIGHTS = "c" * 64


def generate(folder: Path, photos: int, classes: int) -> None:
    """Write scores of four models and of a champion: normal logits, higher for present labels."""
    rng = np.random.default_rng(0)
    targets = rng.random((photos, classes), np.float32) < growth_data.LABELS / classes
    targets[:2] = [[True], [False]]
    names = tuple(f"class {j}" for j in range(classes))
    ids = [f"{i:07}" for i in range(photos)]
    empty = scores.Scores(ids, [f"{i:064x}" for i in range(photos)], names, targets, np.zeros_like(targets))
    base: NDArray[np.float32] = rng.standard_normal(targets.shape, np.float32) + 3 * targets.astype(np.float32) - 3

    def of(*models: str) -> scores.Scores:
        noise = np.float32(0.5)
        logits = {name: base + noise * rng.standard_normal(targets.shape, np.float32) for name in models}
        digests = {"weights": WEIGHTS, "test_list": "t", "labels": "l", "shards": "s", "preprocessing": "p"}
        identity = {name: calibration.identity_calibration(classes) for name in models[:1]}
        return replace(
            empty, logits=logits, digests=digests, training_overlap=dict.fromkeys(models, 0), decisions=identity,
            cost={models[0]: {"bytes": 1, "parameters": 1}}, slices={"size": [480 + i % 200 for i in range(photos)]},
        )  # fmt: skip

    scores.write_scores(folder / SCORES, of(*MODELS))
    scores.write_scores(folder / RIVAL, of("champion"))


def _read(folder: Path) -> None:
    scores.read_scores(folder / SCORES)


def _summary(folder: Path) -> None:
    files.write_json(folder / METRICS, inference.summary(scores.read_scores(folder / SCORES), 0.5, "ema"))


def _curves(folder: Path) -> None:
    curves.write_tables(folder, scores.read_scores(folder / SCORES), 0.5)


def _calibrate(folder: Path) -> None:
    rival = scores.read_scores(folder / RIVAL)
    calibration.fit(rival.logits["champion"], rival.targets, rival.ignored)


def _label_errors(folder: Path) -> None:
    label_errors.list_suspects([scores.read_scores(folder / RIVAL)], "champion", _Everything())


def _gate(folder: Path) -> None:
    rules = params.load(path=Path("recipes/coco-mini.yaml")).gate
    own, rival = scores.read_scores(folder / SCORES), scores.read_scores(folder / RIVAL)
    rival = replace(rival, digests={**rival.digests, "weights": "d" * 64})
    record = champion.Champion("model", "1", "d" * 64)
    verdict(rules, 0.5, own, files.read_json(folder / METRICS), rival, record)


def _comparison(folder: Path) -> None:
    side_by_side.compare(folder / SCORES, folder / RIVAL, 0.5)


def _stage(name: str, project: Path) -> None:
    os.chdir(project)
    importlib.import_module(f"sadcl.stages.{name}").main()


class _Everything(dict[str, tuple[str, str]]):
    """File and split of any image."""

    def __contains__(self, key: object) -> bool:
        return True

    def __missing__(self, key: str) -> tuple[str, str]:
        return f"{key}.jpg", "test"


@dataclass(frozen=True)
class Group:
    """Steps that read the same generated files.

    Attributes:
        title: of the result.
        content: what is generated, in words.
        generate: writes the files of some photos and classes into a folder.
        photos: number for many classes.
        steps: by name; each runs in the folder that holds the files.
    """

    title: str
    content: str
    generate: Callable[[Path, int, int], None]
    photos: int
    steps: dict[str, Callable[[Path], None]]


GROUPS = {
    "photos": Group(
        "Growth before training", "photos of 16 pixels with random labels", growth_data.generate, 20_000,
        {name: partial(_stage, name) for name in ("ingest", "validate", "prepare", "data_report")},
    ),
    "evaluation": Group(
        "Growth of evaluation", "test photos of 16 pixels with random labels, for a small trained network",
        growth_data.generate_trained, 20_000,
        {name: partial(_stage, name) for name in ("evaluate", "gate", "label_errors", "report")},
    ),
    "scores": Group(
        "Growth after training", "scores of four models and a champion", generate, 2_000,
        {
            "read scores": _read, "metrics": _summary, "plot tables": _curves, "calibrate": _calibrate,
            "label errors": _label_errors, "gate with champion": _gate, "review comparison": _comparison,
        },
    ),
}  # fmt: skip


def measure(group: str, folder: Path, *words: str) -> dict[str, float]:
    """Run this program with further arguments in a process of its own; return CPU seconds and peak memory in GB.

    This process stays small: a child's peak begins with the size of its parent.
    """
    command = [sys.executable, "-m", "benchmarks.growth", group, "--folder", str(folder), *words]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(answer.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def run_step(step: Callable[[Path], None], folder: Path) -> str:
    """Run a step; CPU seconds without imports, and peak memory with them, as JSON."""
    started = time.process_time()
    step(folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return json.dumps({"seconds": time.process_time() - started, "memory": peak})


def table(rows: dict[tuple[int, int], dict[str, dict[str, float]]]) -> list[str]:
    """Lines of the result: a row for each step, a column for each size, and the exponent between the largest two."""
    sizes = list(rows)
    lines = ["| step | " + " | ".join(f"{n:,} x {c:,}" for n, c in sizes) + " | exponent in photos |"]
    lines.append("|---" * (len(sizes) + 2) + "|")
    photos = [size for size in sizes if size[1] == CLASSES]
    for step in rows[sizes[0]]:
        cells = [f"{row[step]['seconds']:.1f} s, {row[step]['memory']:.1f} GB" for row in rows.values()]
        last = [rows[size][step]["seconds"] for size in photos[-2:]]
        exponent = f"{log(last[1] / last[0]) / log(photos[-1][0] / photos[-2][0]):.2f}" if len(last) == 2 else "-"
        lines.append(f"| {step} | " + " | ".join(cells) + f" | {exponent} |")
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """``python -m benchmarks.growth GROUP [--photos N]``: measure all steps of a group, and write the result."""
    parser = ArgumentParser(description=main.__doc__)
    parser.add_argument("group", choices=GROUPS)
    parser.add_argument("--step")
    parser.add_argument("--generate", nargs=2, type=int, metavar=("PHOTOS", "CLASSES"))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--photos", type=int, default=SIZES[-1], help="most photos")
    parser.add_argument("--inputs", type=Path, help="folder that keeps the generated files")
    options = parser.parse_args(arguments)
    group = GROUPS[options.group]
    if options.generate:
        say(run_step(lambda folder: group.generate(folder, *options.generate), options.folder))
        return
    if options.step:
        say(run_step(group.steps[options.step], options.folder))
        return
    rows: dict[tuple[int, int], dict[str, dict[str, float]]] = {}
    sizes = [(photos, CLASSES) for photos in SIZES if photos <= options.photos]
    for photos, classes in [*sizes, *((group.photos, classes) for classes in MANY_CLASSES)]:
        with tempfile.TemporaryDirectory() as temporary:
            folder = (options.inputs or Path(temporary)) / options.group / f"{photos}x{classes}"
            if not folder.exists():
                part = folder.with_name(f"{folder.name}.part")
                shutil.rmtree(part, ignore_errors=True)  # of a run that was interrupted
                part.mkdir(parents=True)
                measure(options.group, part, "--generate", str(photos), str(classes))
                part.rename(folder)
            rows[photos, classes] = {}
            for step in group.steps:
                rows[photos, classes][step] = cost = measure(options.group, folder, "--step", step)
                say(f"{photos:,} x {classes:,}, {step}: {cost['seconds']:.1f} CPU s, {cost['memory']:.2f} GB")
    head = [
        f"# {group.title}",
        "",
        f"Generated by `python -m benchmarks.growth {options.group}`: CPU seconds and peak memory of each step in a",
        f"process of its own, on generated {group.content}.",
        "",
    ]
    files.write_text(RESULTS / f"growth_{options.group}.md", "\n".join([*head, *table(rows)]) + "\n")


if __name__ == "__main__":
    main()
