"""Photos that passed validation become shards."""

from pathlib import Path

from sadcl import files, params, processes, stages
from sadcl.data import shards, table
from sadcl.errors import SadclError

TABLE, VALIDATION, OUT = Path("data/table/annotations.parquet"), Path("reports/validation.json"), Path("data/shards")


def main() -> str:
    """Write the shards of all splits."""
    if not files.read_json(VALIDATION)["passed"]:
        raise SadclError("The data did not pass", where=VALIDATION, fix="Mend it, then run `dvc repro`")
    counts = shards.write(table.read(TABLE), Path(), OUT, params.load("prepare").prepare, processes.workers())
    return f"{', '.join(f'{n:,} {split}' for split, n in counts.items())} photos in {OUT}"


if __name__ == "__main__":
    stages.run("prepare", f"{TABLE}", main)
