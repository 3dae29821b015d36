"""Stage 1's weights to one prototype a class."""

from pathlib import Path

from sadcl import params, stages
from sadcl.prototypes.collect import class_prototypes
from sadcl.weights import checkpoint

SHARDS, START, OUT = (
    Path("data/shards/train"),
    Path("models/pretrain/weights.safetensors"),
    Path("models/prototypes.safetensors"),
)


def main() -> str:
    """Compute the prototypes and write them with how many photos each stands on."""
    settings = params.load("prototypes").prototypes
    prototypes, counts = class_prototypes(START, SHARDS, settings)
    head = checkpoint.read_head(START)
    kept = {name: head[name] for name in ("classes", "model", "preprocessing")}
    checkpoint.save(
        OUT,
        {"prototypes": prototypes, "counts": counts},
        {**kept, "stage": "prototypes", "settings": settings.model_dump()},
    )
    return f"{len(prototypes)} prototypes, each on {int(counts.min())} to {int(counts.max())} photos, in {OUT}"


if __name__ == "__main__":
    stages.run("prototypes", f"{START}, {SHARDS}", main)
