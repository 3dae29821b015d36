"""Stage ``evaluate``: scores, metrics, plots and photos for the report, on the test split."""

from sadcl import files, params
from sadcl.batch import computing
from sadcl.data.shards.reader import Shards
from sadcl.errors import SadclError
from sadcl.evaluation import curves, inference, scores, shown_photos
from sadcl.layout import (
    METRICS,
    PLOTS,
    PRETRAIN_WEIGHTS,
    PROBE_WEIGHTS,
    REPORTS,
    SCORES,
    SERVED,
    SHOWN_PHOTOS,
    TEST_SHARDS,
    TRAIN_WEIGHTS,
)
from sadcl.weights import file_head, loader

READS = f"{TEST_SHARDS}, {SERVED}, {TRAIN_WEIGHTS}, {PRETRAIN_WEIGHTS}, {PROBE_WEIGHTS}"


def main() -> str:
    """Score the test images once with each network; write scores, metrics, plot tables and photos for the report."""
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
    tagger = loader.load_tagger(served)
    chosen = shown_photos.choose(scored, "sadcl")
    shown_photos.write(
        SHOWN_PHOTOS, shown_photos.with_maps(chosen, lambda row: tagger.attention_or_none(test.jpeg(row)))
    )
    model = file_head.model_settings(TRAIN_WEIGHTS, head)
    maps = {name: _percent(metrics[name]["mAP"]) for name in scored.models}
    others = [f"SARL alone {maps['sarl']}"] if model.has_stage_2 else []
    others += [f"linear probe {maps['probe']}"] if "probe" in maps and not model.is_linear_probe else []
    compared = f" ({', '.join(others)})" if others else ""
    return f"test mAP {maps['sadcl']}{compared} on {len(test)} images in {REPORTS}"


def _percent(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"
