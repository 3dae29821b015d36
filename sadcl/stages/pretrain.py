"""Stage ``pretrain``: stage 1 of the method, photos to weights of SARL or another head."""

from functools import partial

from sadcl import params
from sadcl.data.shards.reader import Shards
from sadcl.layout import PRETRAIN, SHARDS, TRAIN_SHARDS
from sadcl.progress import select_score
from sadcl.training import fit, launch

READS = str(SHARDS)


def main() -> str | None:
    """Train stage 1, in one process or several, and write its weights and history."""
    settings = params.load("model", "pretrain", "seed")
    if settings.model.is_linear_probe:
        return _train(settings)
    batch = min(settings.pretrain.batch, len(Shards(TRAIN_SHARDS)))
    return launch.in_processes("pretrain", batch, partial(_train, settings))


def _train(settings: params.Params) -> str:
    result = fit.pretrain(settings, SHARDS)
    result.save(PRETRAIN)
    name = "SARL" if settings.model.has_stage_2 else settings.model.title
    return f"{name} with {select_score(result.best_select)} in {PRETRAIN}"
