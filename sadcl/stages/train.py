"""Stage ``train``: stage 2 of the method, from SARL's weights and prototypes; other heads pass through."""

import shutil
from functools import partial
from pathlib import Path

from sadcl import files, params
from sadcl.data.shards.reader import Shards
from sadcl.errors import SadclError
from sadcl.layout import (
    PRETRAIN,
    PRETRAIN_HISTORY,
    PRETRAIN_WEIGHTS,
    PROTOTYPES,
    SHARDS,
    TRAIN,
    TRAIN_HISTORY,
    TRAIN_SHARDS,
    TRAIN_WEIGHTS,
)
from sadcl.progress import select_score
from sadcl.training import fit, launch
from sadcl.weights import file_head

READS = f"{SHARDS}, {PRETRAIN_WEIGHTS}, {PROTOTYPES}"


def main() -> str | None:
    """Train SADCL, in one process or several, and write its weights and history; without stage 2, copy stage 1's."""
    settings = params.load("model", "train", "seed")
    if not settings.model.has_stage_2:
        file_head.read_head(PRETRAIN_WEIGHTS)
        if not Path(PRETRAIN_HISTORY).is_file():
            raise SadclError("The file is missing", where=PRETRAIN_HISTORY, fix="Run `dvc repro pretrain`")
        for source, target in ((PRETRAIN_WEIGHTS, TRAIN_WEIGHTS), (PRETRAIN_HISTORY, TRAIN_HISTORY)):
            with files.atomic_write(target) as temporary_path:
                shutil.copyfile(source, temporary_path)
        return f"The head {settings.model.head} has no stage 2, so {TRAIN} holds the weights of {PRETRAIN}"
    batch = min(settings.train.batch, len(Shards(TRAIN_SHARDS)))
    return launch.in_processes("train", batch, partial(_train, settings))


def _train(settings: params.Params) -> str:
    result = fit.train(settings, SHARDS, PRETRAIN_WEIGHTS, PROTOTYPES)
    result.save(TRAIN)
    return f"SADCL with {select_score(result.best_select)} in {TRAIN}"
