"""The photos of the comparison, whatever recipe the project itself is at."""

from pathlib import Path

from sadcl import params, processes, stages
from sadcl.data.ingest import ingest
from sadcl.data.shards import reader

RECIPE, OUT = params.RECIPES / "coco-mini.yaml", Path("benchmarks/shards")


def main() -> str:
    """Read coco-mini as its recipe says, and write its shards."""
    settings = params.load(path=RECIPE)
    source = f"data/raw/{settings.ingest.source}"
    workers = processes.workers()
    table = ingest(Path(), source, settings.ingest, settings.seed, Path(".sadcl/cache"), workers)
    counts = reader.write(table, Path(), OUT, settings.prepare, workers)
    return f"{', '.join(f'{n:,} {split}' for split, n in counts.items())} photos in {OUT}"


if __name__ == "__main__":
    stages.run("photos", f"{RECIPE}", main)
