"""Effect of calibration and thresholds on the comparison's SARL: ``python -m benchmarks.calibration 1 2``."""

import sys
from pathlib import Path

import numpy as np

from sadcl import files, params, processes
from sadcl.stages import runner

processes.before_torch()

from sadcl.data.shards.reader import Shards  # noqa: E402 - torch reads its environment when it is loaded
from sadcl.evaluation import calibration, inference  # noqa: E402
from sadcl.evaluation.calibration import Calibration  # noqa: E402
from sadcl.evaluation.metrics import label_metrics  # noqa: E402
from sadcl.evaluation.reliability import expected_calibration_error  # noqa: E402
from sadcl.evaluation.scores import Scores  # noqa: E402

SHARDS, CELLS = Path("benchmarks/shards"), Path("benchmarks/cells/frozen")
RESULT = Path("benchmarks/results/calibration.md")
BATCH = 64
ALONE = 1e9
"""Prior positives so many that the common threshold alone counts."""
ROWS = (
    "as trained, threshold 0.5 (the published protocol)",
    "calibrated, threshold 0.5",
    "calibrated, each class's own best threshold",
    "calibrated, one threshold for all",
    "as `calibrate` does it",
)


def main(seeds: list[str]) -> str:
    """Fit on select, measure on test, and write the table."""
    measured = [_measure(CELLS / f"sarl-{seed}" / "weights.safetensors") for seed in seeds]
    head = f"SARL on frozen features at 224 px, seeds {', '.join(seeds)}; fitted on select, measured on test."
    source = "By `cd benchmarks && dvc repro calibration`.\n\n| | ECE | CF1 | OF1 |\n|---|---|---|---|\n"
    rows = []
    for row, name in enumerate(ROWS):
        figures = (", ".join(f"{seed[row][figure]:.1f}" for seed in measured) for figure in range(3))
        rows.append(f"| {name} | {' | '.join(figures)} |")
    files.write_text(RESULT, f"{head} {source}" + "\n".join(rows) + "\n")
    return f"the table is in {RESULT}"


def _measure(file: Path) -> list[tuple[float, float, float]]:
    select, test = (inference.score_champion(file, Shards(SHARDS / split), BATCH) for split in ("select", "test"))

    def fit(prior_positives: float) -> Calibration:
        logits = select.logits["champion"]
        return calibration.fit(logits, select.targets, select.ignored, prior_positives=prior_positives)

    default = fit(params.Calibrate().prior_positives)
    half = np.full(len(default.thresholds), 0.5)
    rows = [
        calibration.identity_calibration(len(half)), default._replace(thresholds=half), fit(0), fit(ALONE), default,
    ]  # fmt: skip
    return [_figures(row, test) for row in rows]


def _figures(fitted: Calibration, test: Scores) -> tuple[float, float, float]:
    """ECE, CF1 and OF1 on the test split, in percent."""
    scores = fitted.probabilities(test.logits["champion"])
    metrics = label_metrics(scores > fitted.thresholds, test.targets, test.ignored)
    return expected_calibration_error(scores, test.targets, test.ignored), metrics["CF1"], metrics["OF1"]


if __name__ == "__main__":
    runner.run("calibration", str(CELLS), lambda: main(sys.argv[1:]))
