"""The model for use, and what went before it, to scores, figures and plots on the test split."""

from pathlib import Path

from sadcl import files, params, stages
from sadcl.data.shards.reader import Shards
from sadcl.errors import SadclError
from sadcl.evaluation import curves, inference, reliability, scores
from sadcl.weights import checkpoint, loader

SHARDS, REPORTS, SERVED = Path("data/shards/test"), Path("reports"), Path("models/served")
PRETRAIN, TRAIN = Path("models/pretrain/weights.safetensors"), Path("models/train/weights.safetensors")


def main() -> str:
    """Score the test images once with each network, and write what follows from the scores."""
    settings, test = params.load("evaluate").evaluate, Shards(SHARDS)
    if not len(test):
        raise SadclError("There is no test image", where=SHARDS, fix="Give the source a test split")
    found = inference.challenger(loader.in_folder(SERVED), TRAIN, PRETRAIN, test, settings.batch, settings.corruptions)
    figures = inference.summary(found, settings.threshold, checkpoint.read_head(TRAIN)["best"])
    scores.write(REPORTS / "scores.parquet", found)
    _plots(found, settings.threshold)
    files.write_json(REPORTS / "metrics.json", figures)
    sadcl, sarl = figures["sadcl"], figures["sarl"]
    return f"test mAP {_shown(sadcl['mAP'])} (SARL alone {_shown(sarl['mAP'])}) on {len(test)} images in {REPORTS}"


def _plots(found: scores.Scores, threshold: float) -> None:
    ap = {"AP": found.figures("sadcl", threshold)["AP"], "AP_sarl": found.figures("sarl", threshold)["AP"]}
    table = curves.per_class(found.classes, found.targets, found.ignored, ap)
    curves.write_csv(REPORTS / "plots/per_class.csv", table, ("class", *ap, "positives"))
    line = curves.precision_recall(found.probabilities("sadcl"), found.targets, found.ignored)
    curves.write_csv(REPORTS / "plots/precision_recall.csv", line, ("recall", "precision", "threshold"))
    scored = {"reliability": found.in_use("sadcl")[0], "reliability_uncalibrated": found.probabilities("sadcl")}
    for name, values in scored.items():
        bins = reliability.reliability(values, found.targets, found.ignored)
        curves.write_csv(REPORTS / f"plots/{name}.csv", bins, ("score", "present", "labels"))


def _shown(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    stages.run("evaluate", f"{SHARDS}, {SERVED}, {TRAIN}, {PRETRAIN}", main)
