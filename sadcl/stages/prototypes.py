"""Stage ``prototypes``: one prototype a class, from the weights of stage 1."""

from sadcl import params
from sadcl.layout import PRETRAIN_WEIGHTS, PROTOTYPES, TRAIN_SHARDS
from sadcl.prototypes.collect import class_prototypes
from sadcl.weights import checkpoint

READS = f"{PRETRAIN_WEIGHTS}, {TRAIN_SHARDS}"


def main() -> str:
    """Compute the prototypes, and write them with the number of photos behind each."""
    settings = params.load("prototypes").prototypes
    prototypes, counts = class_prototypes(PRETRAIN_WEIGHTS, TRAIN_SHARDS, settings)
    pretrained = checkpoint.read_head(PRETRAIN_WEIGHTS)
    head = {name: pretrained[name] for name in ("classes", "model", "preprocessing")}
    head |= {"stage": "prototypes", "settings": settings.model_dump()}
    checkpoint.save(PROTOTYPES, {"prototypes": prototypes, "counts": counts}, head)
    return f"{len(prototypes)} prototypes, each of {int(counts.min())} to {int(counts.max())} photos, in {PROTOTYPES}"
