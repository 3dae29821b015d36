"""Stage ``calibrate``: the better weights of stage 2, with calibration and thresholds fitted on the select split."""

from dataclasses import replace

import numpy as np

from sadcl import files, params
from sadcl.data.shards.reader import Shards
from sadcl.evaluation import inference, scores
from sadcl.layout import SELECT_SCORES, SELECT_SHARDS, SERVED, TRAIN_WEIGHTS
from sadcl.weights import checkpoint, export, file_head, loader

READS = f"{SELECT_SHARDS}, {TRAIN_WEIGHTS}"


def main() -> str:
    """Score the select split, fit calibration and thresholds on it, and write the file to judge, register and serve."""
    settings = params.load("calibrate", "evaluate.batch", "register.runtime")
    select = inference.score_select(TRAIN_WEIGHTS, Shards(SELECT_SHARDS), settings.evaluate.batch)
    calibration = inference.fit_calibration(select, settings.calibrate)
    scores.write_scores(
        SELECT_SCORES, replace(select, decisions={"sadcl": calibration} if calibration is not None else {})
    )
    lists = calibration.as_lists() if calibration is not None else {}
    thresholds = lists.pop("thresholds", None)
    head = {"thresholds": thresholds, "calibration": lists or None, "train_weights": files.digest(TRAIN_WEIGHTS)}
    with files.atomic_directory(SERVED) as folder:
        file = folder / file_head.FILE
        checkpoint.write_served(TRAIN_WEIGHTS, file, head)
        if settings.register_.runtime == "onnx":
            export.export_onnx(loader.load_tagger(file), file.with_suffix(".onnx"))
            file.unlink()
    if calibration is None:
        return f"no select split to fit thresholds on, so every threshold is 0.5; model for use in {SERVED}"
    low, middle, high = (f"{value:.2f}" for value in np.quantile(calibration.thresholds, (0, 0.5, 1)))
    return f"thresholds from {low} to {high}, median {middle}; model for use in {SERVED}"
