"""Scores of photos that the model did not learn from to a list of labels that are probably missing or wrong."""

from pathlib import Path

from sadcl import stages
from sadcl.data import table
from sadcl.evaluation import label_errors, scores

TABLE = Path("data/table/annotations.parquet")
SCORES = (Path("reports/scores.parquet"), Path("reports/select_scores.parquet"))
OUT = Path("reports/label_errors.csv")


def main() -> str:
    """Write the list, the surest suspects first."""
    frame = table.read(TABLE).frame
    files = dict(zip(frame["image_id"], zip(frame["file"], frame["split"], strict=True), strict=True))
    rows = label_errors.listed([scores.read(path) for path in SCORES], "sadcl", files)
    label_errors.write(OUT, rows)
    missing = sum(row["verdict"] == label_errors.MISSING for row in rows)
    return f"{missing:,} labels that are probably missing and {len(rows) - missing:,} that are probably wrong, in {OUT}"


if __name__ == "__main__":
    stages.run("label_errors", f"{SCORES[0]}, {SCORES[1]}, {TABLE}", main)
