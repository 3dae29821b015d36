"""Stage 2's weights to the model for use: the better ones alone, with calibration and thresholds from select."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from sadcl import files, params, stages
from sadcl.data.shards.reader import Shards
from sadcl.evaluation import inference, scores
from sadcl.model import tagger
from sadcl.weights import checkpoint, export

SHARDS, TRAIN, SERVED = Path("data/shards/select"), Path("models/train/weights.safetensors"), Path("models/served")
SCORES = Path("reports/select_scores.parquet")


def main() -> str:
    """Score the select split and decide on it; write the one file that is judged, registered and served."""
    sections = params.load("calibrate", "evaluate.batch", "register.runtime")
    found = inference.selected(TRAIN, Shards(SHARDS), sections.evaluate.batch)
    decided = inference.decide(found, sections.calibrate)
    scores.write(SCORES, replace(found, decisions={"sadcl": decided} if decided is not None else {}))
    lists = decided.as_lists() if decided is not None else {}
    thresholds = lists.pop("thresholds", None)
    added = {"thresholds": thresholds, "calibration": lists or None, "train_weights": files.digest(TRAIN)}
    with files.writing_directory(SERVED) as beside:
        file = beside / checkpoint.FILE
        checkpoint.write_for_use(TRAIN, file, added)
        if sections.register_.runtime == "onnx":
            export.onnx(tagger.load(file), file.with_suffix(".onnx"))
            file.unlink()
    if decided is None:
        return f"no photo was kept to fit thresholds on, so labels are given above 0.5; the model for use in {SERVED}"
    low, middle, high = (f"{value:.2f}" for value in np.quantile(decided.thresholds, (0, 0.5, 1)))
    return f"thresholds of {low} to {high}, half of them below {middle}; the model for use in {SERVED}"


if __name__ == "__main__":
    stages.run("calibrate", f"{SHARDS}, {TRAIN}", main)
