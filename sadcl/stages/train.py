"""Stage ``train``: stage 2 of the method, from SARL's weights and prototypes; other heads pass through."""

import shutil

from sadcl import files, params
from sadcl.layout import (
    PRETRAIN,
    PRETRAIN_HISTORY,
    PRETRAIN_WEIGHTS,
    PROTOTYPES,
    SHARDS,
    TRAIN,
    TRAIN_HISTORY,
    TRAIN_WEIGHTS,
)
from sadcl.training import fit

READS = f"{SHARDS}, {PRETRAIN_WEIGHTS}, {PROTOTYPES}"


def main() -> str:
    """Train SADCL, and write its weights and history; for a head without stage 2, stage 1's are the result."""
    settings = params.load("model", "train", "seed")
    if not settings.model.has_stage_2:
        for source, target in ((PRETRAIN_WEIGHTS, TRAIN_WEIGHTS), (PRETRAIN_HISTORY, TRAIN_HISTORY)):
            with files.atomic_write(target) as temporary_path:
                shutil.copyfile(source, temporary_path)
        return f"The head {settings.model.head} has no stage 2, so {TRAIN} holds the weights of {PRETRAIN}"
    result = fit.train(settings, SHARDS, PRETRAIN_WEIGHTS, PROTOTYPES)
    result.save(TRAIN)
    return f"SADCL with select mAP {result.best_select:.2f} in {TRAIN}"
