"""Stage ``probe``: a linear probe on the backbone that stage 1 starts from, the baseline of the trained head."""

from sadcl import files, params
from sadcl.data.shards.reader import Shards
from sadcl.layout import PROBE_HISTORY, PROBE_WEIGHTS, SELECT_SHARDS, TRAIN_SHARDS
from sadcl.progress import select_score
from sadcl.training.probe import fit_network
from sadcl.weights import checkpoint

READS = f"{TRAIN_SHARDS}, {SELECT_SHARDS}"


def main() -> str:
    """Fit the probe; write its weights, and mAP on select by strength of L2."""
    settings, train, select = params.load("model", "seed"), Shards(TRAIN_SHARDS), Shards(SELECT_SHARDS)
    network, fitted, head = fit_network(settings.model, settings.seed, train, select)
    rows = [{"strength": strength, "select_mAP": value} for strength, value in sorted(fitted.select_map.items())]
    checkpoint.save(PROBE_WEIGHTS, {f"ema.network.{name}": tensor for name, tensor in network.items()}, head)
    files.write_csv(PROBE_HISTORY, rows, ["strength", "select_mAP"])
    score = select_score(fitted.select_map.get(fitted.strength))
    return f"Linear probe with {score}, L2 of {fitted.strength:g}, in {PROBE_WEIGHTS.parent}"
