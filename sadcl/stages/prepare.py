"""Photos that passed validation become shards."""

from pathlib import Path

from sadcl import files, params, processes, stages
from sadcl.errors import SadclError

TABLE, VALIDATION, OUT = Path("data/table/annotations.parquet"), Path("reports/validation.json"), Path("data/shards")


def main() -> str:
    """Write the shards of all splits."""
    from sadcl.data import table
    from sadcl.data.shards import reader

    result = files.read_json(VALIDATION, fix="Run `dvc repro validate`")
    if not isinstance(result, dict) or result.get("passed") is not True:
        raise SadclError("The data has not passed validation", where=VALIDATION, fix="Mend it, then run `dvc repro`")
    counts = reader.write(table.read(TABLE), Path(), OUT, params.load("prepare").prepare, processes.workers())
    return f"{', '.join(f'{n:,} {split}' for split, n in counts.items())} photos in {OUT}"


if __name__ == "__main__":
    stages.run("prepare", str(TABLE), main)
