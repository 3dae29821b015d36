"""Stage ``prepare``: validated photos to shards."""

from pathlib import Path

from sadcl import files, params, processes
from sadcl.errors import SadclError
from sadcl.layout import ENCODED_SHARDS, SHARDS, TABLE, VALIDATION

READS = str(TABLE)


def main() -> str:
    """Write the shards of all splits."""
    from sadcl.data import table
    from sadcl.data.shards import writer

    result = files.read_json(VALIDATION, fix="Run `dvc repro validate`")
    if not isinstance(result, dict) or result.get("passed") is not True:
        raise SadclError(
            "The data has not passed validation", where=VALIDATION, fix="Fix the data, then run `dvc repro`"
        )
    settings = params.load("prepare").prepare
    counts = writer.write_shards(table.read_table(TABLE), Path(), SHARDS, settings, processes.workers(), ENCODED_SHARDS)
    return f"{', '.join(f'{count:,} {split}' for split, count in counts.items())} photos in {SHARDS}"
