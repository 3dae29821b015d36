"""Stage ``pretrain``: stage 1 of the method, photos to weights of SARL or another head."""

from sadcl import params
from sadcl.layout import PRETRAIN, SHARDS
from sadcl.training import fit

READS = str(SHARDS)


def main() -> str:
    """Train stage 1, and write its weights and history."""
    settings = params.load("model", "pretrain", "seed")
    result = fit.pretrain(settings, SHARDS)
    result.save(PRETRAIN)
    name = "SARL" if settings.model.has_stage_2 else settings.model.title
    return f"{name} with select mAP {result.best_select:.2f} in {PRETRAIN}"
