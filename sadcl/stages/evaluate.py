"""Stage ``evaluate``: scores, metrics and plots on the test split, of the model for use and of both trainings."""

from sadcl import files, params
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
from sadcl.weights import checkpoint, loader

READS = f"{TEST_SHARDS}, {SERVED}, {TRAIN_WEIGHTS}, {PRETRAIN_WEIGHTS}, {PROBE_WEIGHTS}"


def main() -> str:
    """Score the test images once with each network; write scores, metrics and plot tables."""
    settings, test = params.load("evaluate").evaluate, Shards(TEST_SHARDS)
    if not len(test):
        raise SadclError("There are no test images", where=TEST_SHARDS, fix="Give the source a test split")
    if not PROBE_WEIGHTS.is_file():  # a graph from before the stage `probe`
        fix = "Run `sadcl init`, which updates the stages, then `dvc repro`"
        raise SadclError("There is no linear probe to compare with", where=PROBE_WEIGHTS, fix=fix)
    model = loader.model_file(SERVED)
    weights = (TRAIN_WEIGHTS, PRETRAIN_WEIGHTS, PROBE_WEIGHTS)
    scored = inference.score_test(model, *weights, test, settings.batch, settings.corruptions)
    head = checkpoint.read_head(TRAIN_WEIGHTS)
    metrics = inference.summary(scored, settings.threshold, head["best"])
    scores.write_scores(SCORES, scored)
    curves.write_tables(PLOTS, scored, settings.threshold)
    files.write_json(METRICS, metrics)
    sadcl, sarl, probe = (_percent(metrics[name]["mAP"]) for name in ("sadcl", "sarl", "probe"))
    compared = {"sarl": f" (SARL alone {sarl}, linear probe {probe})", "linear": ""}
    others = compared.get(head["model"]["head"], f" (linear probe {probe})")
    return f"test mAP {sadcl}{others} on {len(test)} images in {REPORTS}"


def _percent(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"
