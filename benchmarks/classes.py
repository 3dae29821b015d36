"""Number of photos of each class in the comparison's shards, by which its pages find the rare classes."""

from benchmarks.comparison import CELLS
from benchmarks.photos import OUT as SHARDS
from sadcl import files
from sadcl.data.shards.reader import Shards
from sadcl.stages import runner


def main() -> str:
    """Count the photos of each class in train and test."""
    counts = {}
    for split in ("train", "test"):
        shards = Shards(SHARDS / split)
        counts[split] = dict(zip(shards.classes, shards.targets.sum(0).tolist(), strict=True))
    files.write_json(CELLS / "classes.json", counts)
    return f"{len(counts['train'])} classes in {CELLS / 'classes.json'}"


if __name__ == "__main__":
    runner.run("classes", f"{SHARDS}", main)
