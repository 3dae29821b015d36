"""A small annotation table that breaks no rule of validation, and its validation."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sadcl import params
from sadcl.data import table as tables
from sadcl.data.table import Table
from sadcl.data.validation import validator

SETTINGS = params.Validate(min_side=64, min_positives={"train": 2, "select": 1, "test": 1}, max_unlabelled=0.0)


CLASSES = ("cat", "dog", "bird")


SPLITS = ("train",) * 6 + ("select",) * 3 + ("test",) * 3


DRIFT_RULES = {
    "frequencies as accepted", "pairs as accepted", "labels a photo as accepted", "shorter side as accepted",
    "brightness as accepted", "sharpness as accepted",
}  # fmt: skip
"""Rules that compare with the baseline."""


HASHES = np.random.default_rng(7).integers(0, 2**64, 600, np.uint64)
"""Random, so that no two are near-duplicates."""


def good(times: int = 1, **changes: dict[int, Any]) -> Table:
    """Twelve photos (times ``times``) that break no rule, but for ``changes``: by column, rows and their new values."""
    rows = [
        {"image_id": f"i{n}", "file": f"photos/{n}.jpg", "split": split, "labels": [n % 3], "ignored": [],
         "width": 80, "height": 64, "bytes": 900, "sha256": f"{n:064x}", "brightness": 120.0 + n,
         "sharpness": 20.0 + n, "phash": HASHES[n], "problem": None}
        for n, split in enumerate(SPLITS * times)
    ]  # fmt: skip
    for column, values in changes.items():
        for row, value in values.items():
            rows[row][column] = value
    frame = pd.DataFrame(rows)
    protocol = {split: {"images": SPLITS.count(split), "ids": f"digest of {split}"} for split in tables.SPLITS}
    return Table(frame.astype({"problem": object}), CLASSES, "data/raw/pets", protocol)


def judge(
    table: Table, docs: Path, settings: params.Validate = SETTINGS, accepted: dict[str, Any] | None = None
) -> dict[str, Any]:
    return validator.validate(table, settings, accepted, docs)


def statuses(result: dict[str, Any], status: str) -> set[str]:
    return {rule["rule"] for rule in result["rules"] if rule["status"] == status}
