"""Stage 2 of the method: SARL weights and prototypes to SADCL weights."""

from pathlib import Path

from sadcl import params, stages
from sadcl.training import fit

SHARDS, OUT = Path("data/shards"), Path("models/train")
START, PROTOTYPES = Path("models/pretrain/weights.safetensors"), Path("models/prototypes.safetensors")


def main() -> str:
    """Train SADCL and write its weights and history."""
    fitted = fit.train(params.load("model", "train", "seed"), SHARDS, START, PROTOTYPES)
    fitted.save(OUT)
    return f"SADCL with select mAP {fitted.best_select:.2f} in {OUT}"


if __name__ == "__main__":
    stages.run("train", f"{SHARDS}, {START}, {PROTOTYPES}", main)
