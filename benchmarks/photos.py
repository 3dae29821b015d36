"""Shards of the comparison's photos, independent of the project's current recipe."""

import hashlib
from pathlib import Path

import pyarrow as pa

from sadcl import params, processes
from sadcl.data.ingest import ingest
from sadcl.data.shards import index, writer
from sadcl.stages import runner

RECIPE, OUT = Path("benchmarks/recipe.yaml"), Path("benchmarks/shards")


def write_part(shards: Path, count: int, out: Path) -> None:
    """Write shards with ``count`` of the training photos, and a link to those of the select split.

    The photos are those of the lowest hashes of their ids: the same for every seed, and a smaller part lies in a
    larger one.

    Args:
        shards: the folder with ``train`` and ``select``.
        count: photos of the part; all where there are fewer.
        out: an empty folder.
    """
    source, path = shards / "train", out / "train" / "part.arrow"
    table = pa.concat_tables(
        pa.ipc.open_file(pa.memory_map(str(source / shard.file))).read_all() for shard in index.read(source).shards
    )
    ids = table["image_id"].to_pylist()
    lowest = sorted(range(len(ids)), key=lambda row: hashlib.sha256(ids[row].encode()).digest())[:count]
    part = table.take(pa.array(sorted(lowest), pa.int64()))  # by id, as in all shards
    path.parent.mkdir(parents=True)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, part.schema) as writing:
        writing.write_table(part)
    index.write(path.parent, index.Index((index.describe(path, len(part)),)))
    (out / "select").symlink_to((shards / "select").absolute())


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
