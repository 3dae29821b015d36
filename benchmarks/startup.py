"""Start-up: CPU seconds and imports of each stage and of common commands on a few photos, against ``import torch``.

``python -m benchmarks.startup`` measures the code of this folder and writes ``benchmarks/results/startup.md``. With so
few photos most of the time is the start of a process: imports, and the first use of each library.
"""

import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml

from sadcl import files
from sadcl.data import synthetic
from sadcl.progress import track

RESULT = Path("benchmarks/results/startup.md")
ROUNDS = 3
SIZES = {"train": 60, "select": 20, "test": 24}
MODEL = {"side": 32, "width": 16, "heads": 2, "feedforward": 16, "embedding": 8, "weights": "random"}
TORCH = "import torch"
STAGES = (
    "ingest", "validate", "prepare", "probe", "pretrain", "prototypes", "train", "calibrate", "evaluate", "rescore",
    "gate", "report", "label_errors", "data_report",
)  # fmt: skip
COMMANDS = (("--help",), ("doctor",), ("status",), ("predict", "photo.jpg"))


def main() -> None:
    """Measure in rounds over all programs, and write the table."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        _prepare(project)
        programs = {
            TORCH: ("-c", TORCH),
            **{stage: ("-m", "sadcl.stages", stage) for stage in STAGES},
            **{f"sadcl {' '.join(words)}": ("-m", "sadcl", *words) for words in COMMANDS},
        }
        costs: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
        rounds = [name for _ in range(ROUNDS) for name in programs]
        for name in track(rounds, "starting programs", total=len(rounds), unit="starts"):
            costs[name].append((_cpu_seconds(project, programs[name]), _import_seconds(project, programs[name])))
    medians = {name: tuple(map(statistics.median, zip(*pairs, strict=True))) for name, pairs in costs.items()}
    files.write_text(RESULT, _table(medians))
    print(RESULT.read_text(encoding="utf-8"))


def _prepare(project: Path) -> None:
    """Make a project with a small network and a few photos; each stage runs once."""
    recipe = yaml.safe_load(Path("recipes/demo.yaml").read_text(encoding="utf-8"))
    recipe["model"] |= MODEL
    for stage in ("pretrain", "train"):
        recipe[stage] |= {"epochs": 1, "batch": 10}
    recipe["validate"] |= {"min_positives": {"train": 0, "select": 0, "test": 0}, "max_unlabelled": 0.5}
    _cpu_seconds(project, ("-m", "sadcl", "init"))
    files.write_text(project / "params.yaml", yaml.safe_dump(recipe, sort_keys=False))
    synthetic.generate(project / "data/raw/scenes", 7, SIZES)
    (project / "photo.jpg").write_bytes(next((project / "data/raw/scenes/images/test").iterdir()).read_bytes())
    for stage in STAGES:
        _cpu_seconds(project, ("-m", "sadcl.stages", stage))


def _cpu_seconds(project: Path, arguments: Sequence[str]) -> float:
    """Run Python with the code of this folder in a project; CPU seconds of the process and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    _run(project, arguments)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _import_seconds(project: Path, arguments: Sequence[str]) -> float:
    """Run Python with the code of this folder in a project; seconds that the process spent in imports."""
    times = re.findall(r"^import time: +(\d+) \|", _run(project, ("-X", "importtime", *arguments)), re.MULTILINE)
    return sum(map(int, times)) / 1e6


def _run(project: Path, arguments: Sequence[str]) -> str:
    """Run Python with the code of this folder in a project; what it printed to stderr."""
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), "OMP_NUM_THREADS": "1", "SADCL_WORKERS": "1"}
    ran = subprocess.run([sys.executable, *arguments], cwd=project, env=environment, capture_output=True, text=True)
    if ran.returncode > 1:  # 1: `sadcl doctor` found problems
        sys.exit(f"{' '.join(arguments)}: {ran.stdout}{ran.stderr}")
    return ran.stderr


def _table(costs: dict[str, tuple[float, ...]]) -> str:
    torch, stages = costs[TORCH], tuple(sum(costs[stage][i] for stage in STAGES) for i in range(2))
    lines = []
    for name, (seconds, imports) in [*costs.items(), ("all stages", stages)]:
        lines.append(
            f"| {name} | {seconds:.2f} | {seconds / torch[0]:.2f} | {imports:.2f} | {imports / torch[1]:.2f} |"
        )
    head = (
        f"CPU seconds of one thread, median of {ROUNDS} starts, {sum(SIZES.values())} photos of 32 px, one epoch; and\n"
        "seconds in imports (`-X importtime`). By `python -m benchmarks.startup`.\n\n"
        "| program | CPU s | times `import torch` | imports, s | times `import torch` |\n|---|---|---|---|---|\n"
    )
    return head + "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
