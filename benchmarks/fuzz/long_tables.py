"""Tables with one row per label: with a header, and as AutoML writes them without one."""

import csv
import io
from random import Random
from typing import Any

from benchmarks.fuzz.mutation import LABELS, NAMES, pick

SPLITS = ("train", "select", "test")
HEADERS = (
    ("file", "label"),
    ("ImageID", "Source", "LabelName", "Confidence"),
    ("filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax"),
    ("file", "label", "split", "camera"),
)


def long_table(rng: Random) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Draw one table, or one for each split."""
    names = ("train",) if rng.random() < 0.7 else SPLITS
    files = {f"{name}.csv": _table(rng) for name in names}
    settings = {"format": "rows", "annotations": {name: f"{name}.csv" for name in names}, "images": {"train": ""}}
    return files, settings | ({"separator": rng.choice(("", ",", "[]", " "))} if rng.random() < 0.3 else {})


def _table(rng: Random) -> bytes:
    out = io.StringIO()
    writer = csv.writer(
        out, lineterminator=rng.choice(("\n", "\r\n", "\r")), delimiter=pick(rng, (",",), (";", "\t", "|"))
    )
    if rng.random() < 0.3:
        for _ in range(rng.randrange(6)):
            use = pick(rng, ("TRAIN", "UNASSIGNED", "test"), LABELS, 0.05)
            writer.writerow([use, f"gs://bucket/{_file(rng)}", *(_label(rng) for _ in range(rng.randrange(4)))])
    else:
        header = rng.choice(HEADERS)
        writer.writerow(header)
        for _ in range(rng.randrange(8)):
            writer.writerow([_cell(rng, name) for name in header])
    return out.getvalue().encode(pick(rng, ("utf-8",), ("utf-16", "cp1252")), "replace")


def _cell(rng: Random, column: str) -> Any:
    if column in ("file", "ImageID", "filename"):
        return _file(rng)
    if column in ("label", "LabelName", "class"):
        return _label(rng)
    return pick(rng, ("0", "1", "0.5", ""), (*LABELS, "train", "nan", "1e999"), 0.1)


def _file(rng: Random) -> Any:
    return pick(rng, tuple(f"{i}.jpg" for i in range(6)), NAMES, 0.05)


def _label(rng: Random) -> Any:
    return pick(rng, ("cat", "dog", "['cat', 'dog']", "cat, dog"), LABELS, 0.05)
