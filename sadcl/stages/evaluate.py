"""Stage ``evaluate``: scores, metrics and plots on the test split, of the model for use and of both trainings."""

from sadcl import files, params
from sadcl.batch import computing
from sadcl.data.shards.reader import Shards
from sadcl.errors import SadclError
from sadcl.evaluation import curves, inference, scores
from sadcl.layout import (
    METRICS,
    PLOTS,
    PRETRAIN_WEIGHTS,
    PROBE_WEIGHTS,
    REPORTS,
    SCORES,
    SERVED,
    TEST_SHARDS,
    TRAIN_WEIGHTS,
)
from sadcl.weights import file_head, loader

READS = f"{TEST_SHARDS}, {SERVED}, {TRAIN_WEIGHTS}, {PRETRAIN_WEIGHTS}, {PROBE_WEIGHTS}"


def main() -> str:
    """Score the test images once with each network; write scores, metrics and plot tables."""
    settings, test = params.load("evaluate").evaluate, Shards(TEST_SHARDS)
    if not len(test):
        raise SadclError("There are no test images", where=TEST_SHARDS, fix="Give the source a test split")
    served = loader.model_file(SERVED)
    # a graph from before the stage `probe` has none, until `sadcl init` updates the project
    weights = (TRAIN_WEIGHTS, PRETRAIN_WEIGHTS, PROBE_WEIGHTS if PROBE_WEIGHTS.is_file() else None)
    with computing.chosen() as compute:
        scored = inference.score_test(served, *weights, test, settings.batch, settings.corruptions, compute)
        scores.write_scores(SCORES, scored)
    head = file_head.read_head(TRAIN_WEIGHTS)
    metrics = inference.summary(scored, settings.threshold, head["best"])
    curves.write_tables(PLOTS, scored, settings.threshold)
    files.write_json(METRICS, metrics)
    model = file_head.model_settings(TRAIN_WEIGHTS, head)
    maps = {name: _percent(metrics[name]["mAP"]) for name in scored.models}
    others = [f"SARL alone {maps['sarl']}"] if model.has_stage_2 else []
    others += [f"linear probe {maps['probe']}"] if "probe" in maps and not model.is_linear_probe else []
    compared = f" ({', '.join(others)})" if others else ""
    return f"test mAP {maps['sadcl']}{compared} on {len(test)} images in {REPORTS}"


def _percent(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"
