"""Shards of the comparison's photos, independent of the project's current recipe."""

from pathlib import Path

from sadcl import params, processes
from sadcl.data.ingest import ingest
from sadcl.data.shards import writer
from sadcl.stages import runner

RECIPE, OUT = Path("benchmarks/recipe.yaml"), Path("benchmarks/shards")


def main() -> str:
    """Ingest coco-mini, and write its shards."""
    settings = params.load(path=RECIPE)
    source = f"data/raw/{settings.ingest.source}"
    workers = processes.workers()
    table = ingest(Path(), source, settings.ingest, settings.seed, Path(".sadcl/cache"), workers)
    counts = writer.write_shards(table, Path(), OUT, settings.prepare, workers)
    return f"{', '.join(f'{n:,} {split}' for split, n in counts.items())} photos in {OUT}"


if __name__ == "__main__":
    runner.run("photos", f"{RECIPE}", main)
