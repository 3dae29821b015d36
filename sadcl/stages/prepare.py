"""Stage ``prepare``: validated photos to shards."""

from pathlib import Path

from sadcl import files, params, processes
from sadcl.errors import SadclError
from sadcl.layout import ENCODED_SHARDS, SHARDS, TABLE, VALIDATION

READS = str(TABLE)


def main() -> str:
    """Write the shards of all splits."""
    from sadcl.batch import encoding
    from sadcl.data import table
    from sadcl.data.shards import writer

    result = files.read_json(VALIDATION, fix="Run `dvc repro validate`")
    if not isinstance(result, dict) or result.get("passed") is not True:
        raise SadclError(
            "The data has not passed validation", where=VALIDATION, fix="Fix the data, then run `dvc repro`"
        )
    settings = params.load("prepare").prepare
    annotations, threads = table.read_table(TABLE), processes.workers()
    counts = writer.write_shards(annotations, Path(), SHARDS, settings, threads, ENCODED_SHARDS, encoding.chosen())
    return f"{', '.join(f'{count:,} {split}' for split, count in counts.items())} photos in {SHARDS}"
