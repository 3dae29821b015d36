"""Start-up: CPU seconds of each stage and of common commands on a few photos, against ``import torch``.

``python -m benchmarks.startup`` measures the code of this folder and writes ``benchmarks/results/startup.md``. With so
few photos nearly all of the time is the start of a process: imports, and the first use of each library.
"""

import os
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
        costs: dict[str, list[float]] = {name: [] for name in programs}
        rounds = [name for _ in range(ROUNDS) for name in programs]
        for name in track(rounds, "starting programs", total=len(rounds), unit="starts"):
            costs[name].append(_cpu_seconds(project, programs[name]))
    files.write_text(RESULT, _table({name: statistics.median(values) for name, values in costs.items()}))
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
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), "OMP_NUM_THREADS": "1", "SADCL_WORKERS": "1"}
    ran = subprocess.run([sys.executable, *arguments], cwd=project, env=environment, capture_output=True, text=True)
    if ran.returncode > 1:  # 1: `sadcl doctor` found problems
        sys.exit(f"{' '.join(arguments)}: {ran.stdout}{ran.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _table(costs: dict[str, float]) -> str:
    torch, stages = costs[TORCH], sum(costs[stage] for stage in STAGES)
    rows = [*costs.items(), ("all stages", stages)]
    lines = [f"| {name} | {seconds:.2f} | {seconds / torch:.2f} |" for name, seconds in rows]
    head = (
        f"CPU seconds of one thread, median of {ROUNDS} starts, {sum(SIZES.values())} photos of 32 px, one epoch.\n"
        "By `python -m benchmarks.startup`.\n\n"
        "| program | CPU s | times `import torch` |\n|---|---|---|\n"
    )
    return head + "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
