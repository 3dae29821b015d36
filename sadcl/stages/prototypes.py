"""Stage ``prototypes``: one prototype a class, from the weights of stage 1."""

import torch

from sadcl import params
from sadcl.layout import PRETRAIN_WEIGHTS, PROTOTYPES, TRAIN_SHARDS
from sadcl.prototypes.collect import class_prototypes
from sadcl.weights import checkpoint, file_head

READS = f"{PRETRAIN_WEIGHTS}, {TRAIN_SHARDS}"


def main() -> str:
    """Compute the prototypes, and write them with the number of photos behind each."""
    settings = params.load("prototypes").prototypes
    pretrained = file_head.read_head(PRETRAIN_WEIGHTS)
    model, classes = file_head.model_settings(PRETRAIN_WEIGHTS, pretrained), len(pretrained["classes"])
    if model.has_stage_2:
        prototypes, counts = class_prototypes(PRETRAIN_WEIGHTS, TRAIN_SHARDS, settings)
        photos = f"each of {int(counts.min())} to {int(counts.max())} photos"
        words = f"{classes} prototypes, {photos}, in {PROTOTYPES}"
    else:
        prototypes, counts = torch.zeros(classes, 0), torch.zeros(classes)
        words = f"The head {model.head} has no label-level features, so {PROTOTYPES} holds no prototypes"
    head = {name: pretrained[name] for name in ("classes", "model", "preprocessing")}
    head |= {"stage": "prototypes", "settings": settings.model_dump()}
    checkpoint.save(PROTOTYPES, {"prototypes": prototypes, "counts": counts}, head)
    return words
