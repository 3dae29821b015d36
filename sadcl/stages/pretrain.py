"""Stage ``pretrain``: stage 1 of the method, photos to SARL weights."""

from sadcl import params
from sadcl.layout import PRETRAIN, SHARDS
from sadcl.training import fit

READS = str(SHARDS)


def main() -> str:
    """Train SARL and write its weights and history."""
    result = fit.pretrain(params.load("model", "pretrain", "seed"), SHARDS)
    result.save(PRETRAIN)
    return f"SARL with select mAP {result.best_select:.2f} in {PRETRAIN}"
