"""Stage ``train``: stage 2 of the method, SARL weights and prototypes to SADCL weights."""

from sadcl import params
from sadcl.layout import PRETRAIN_WEIGHTS, PROTOTYPES, SHARDS, TRAIN
from sadcl.training import fit

READS = f"{SHARDS}, {PRETRAIN_WEIGHTS}, {PROTOTYPES}"


def main() -> str:
    """Train SADCL and write its weights and history."""
    result = fit.train(params.load("model", "train", "seed"), SHARDS, PRETRAIN_WEIGHTS, PROTOTYPES)
    result.save(TRAIN)
    return f"SADCL with select mAP {result.best_select:.2f} in {TRAIN}"
