"""Predictions as a CSV file: a line for each photo and label."""

import csv
from pathlib import Path

from sadcl import files
from sadcl.batch import reader

FILE = "_predictions.csv"
"""Readers of Parquet folders pass over names that begin so."""
COLUMNS = ("path", "label", "probability", "error")


def write(folder: Path) -> Path:
    """Write the labels of a finished job, sorted by path; a photo without label or prediction has one line, too.

    Raises:
        SadclError: the job has not finished, a part is damaged, or the file can't be written.
    """
    path = folder / FILE
    with files.atomic_write(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for predictions in reader.batches(folder):
            places = {name: j for j, name in enumerate(predictions.classes)}
            columns = (predictions.table[name].to_pylist() for name in ("path", "labels", "error"))
            for photo, labels, error, row in zip(*columns, predictions.probabilities, strict=True):
                for label in labels or ():
                    writer.writerow((photo, label, f"{row[places[label]]:.6g}", ""))
                if not labels:
                    writer.writerow((photo, "", "", error or ""))
    return path
