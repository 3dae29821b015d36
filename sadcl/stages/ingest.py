"""Stage ``ingest``: photos and annotations to one table with a row for each image."""

from pathlib import Path

from sadcl import params, processes
from sadcl.layout import CACHE, RAW, TABLE

READS = "data/raw and the settings of ingest"


def main() -> str:
    """Read the source that the settings name and write its table."""
    from sadcl.data import table
    from sadcl.data.ingest import ingest

    settings = params.load("ingest", "seed")
    source = f"{RAW}/{settings.ingest.source}"
    annotations = ingest(Path(), source, settings.ingest, settings.seed, CACHE, processes.workers())
    table.write_table(TABLE, annotations)
    bad = int(annotations.frame["problem"].notna().sum())
    return f"{len(annotations.frame):,} rows{f', {bad:,} with a problem,' if bad else ''} in {TABLE}"
