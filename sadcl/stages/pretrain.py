"""Stage 1 of the method: photos to SARL weights."""

from pathlib import Path

from sadcl import params, stages
from sadcl.training import fit

SHARDS, OUT = Path("data/shards"), Path("models/pretrain")


def main() -> str:
    """Train SARL and write its weights and history."""
    fitted = fit.pretrain(params.load("model", "pretrain", "seed"), SHARDS)
    fitted.save(OUT)
    return f"SARL with select mAP {fitted.best_select:.2f} in {OUT}"


if __name__ == "__main__":
    stages.run("pretrain", f"{SHARDS}", main)
