"""Photos and annotations become one table, a row an image."""

from pathlib import Path

from sadcl import params, processes, stages

OUT, CACHE = Path("data/table/annotations.parquet"), Path(".sadcl/cache")


def main() -> str:
    """Read the source that the settings name and write its table."""
    from sadcl.data import table
    from sadcl.data.ingest import ingest

    settings = params.load("ingest", "seed")
    made = ingest(
        Path(), f"data/raw/{settings.ingest.source}", settings.ingest, settings.seed, CACHE, processes.workers()
    )
    table.write(OUT, made)
    bad = int(made.frame["problem"].notna().sum())
    return f"{len(made.frame):,} rows{f', {bad:,} with a problem,' if bad else ''} in {OUT}"


if __name__ == "__main__":
    stages.run("ingest", "data/raw and the settings of ingest", main)
