"""Frames that validation's rules look at, made from the annotation table."""

from typing import Any

import numpy as np
import pandas as pd

from sadcl.data.table import SPLITS, Table, targets


def images(table: Table) -> pd.DataFrame:
    """A row an image; ``twin`` names a photo with the same content in another split."""
    frame = table.frame.reset_index(drop=True)
    images = frame[["image_id", "file", "split"]].assign(problem=frame["problem"].astype(object))
    images["problem"] = images["problem"].where(frame["problem"].notna(), None)
    # a photo that can't be decoded has no size: "files readable" reports it, "sides" passes over it
    images["short_side"] = frame[["width", "height"]].min(axis=1).where(frame["problem"].isna()).astype(float)
    images["labels"] = frame["labels"].map(len) + frame["ignored"].map(len)
    images["twin"] = _twins(frame)
    return images


def _twins(frame: pd.DataFrame) -> "pd.Series[Any]":
    homes: dict[str, dict[str, str]] = {}
    for image_id, split, sha256 in zip(frame["image_id"], frame["split"], frame["sha256"], strict=True):
        homes.setdefault(sha256 or "", {}).setdefault(split, image_id)
    homes[""] = {}  # files that could not be read have no digest to share
    twins = [
        next((f"{other} in {home}" for home, other in homes[sha256 or ""].items() if home != split), None)
        for split, sha256 in zip(frame["split"], frame["sha256"], strict=True)
    ]
    return pd.Series(twins, index=frame.index, dtype=object)


def labels(table: Table) -> pd.DataFrame:
    """A row a label, present or ignored."""
    frame = table.frame
    lists = [[*present, *ignored] for present, ignored in zip(frame["labels"], frame["ignored"], strict=True)]
    rows = np.repeat(np.arange(len(lists)), [len(row) for row in lists])
    labels = frame[["image_id", "file"]].iloc[rows].reset_index(drop=True)
    labels["label"] = np.array([label for row in lists for label in row], dtype=np.int64)
    return labels


def classes(table: Table) -> pd.DataFrame:
    """A row a class and split."""
    matrix = present(table)
    parts = []
    for split in SPLITS:
        positives = matrix[(table.frame["split"] == split).to_numpy()].sum(axis=0)
        part = {"class": table.classes, "split": split, "positives": positives}
        parts.append(pd.DataFrame(part))
    return pd.concat(parts, ignore_index=True)


def beside_accepted(table: Table, before: dict[str, float]) -> pd.DataFrame:
    """A row a class that is known now or was known then; a shift is relative to what was accepted."""
    now = frequencies(table)
    rows = []
    for name in [*now, *(name for name in before if name not in now)]:
        change = None if name in now and name in before else "new" if name in now else "gone"
        was, here = before.get(name, 0.0), now.get(name, 0.0)
        # from 0 to anything is no finite share; a class that came or went is reported by the other rule
        shift = abs(here - was) / was if was else (float("inf") if here else 0.0)
        rows.append((name, was, here, change, np.nan if change else round(shift, 9)))
    frame = pd.DataFrame(rows, columns=["class", "before", "now", "change", "shift"])
    return frame.assign(change=frame["change"].astype(object).where(frame["change"].notna(), None))


def present(table: Table) -> np.ndarray:
    """Targets, bool [N, C]; a label outside the class list counts for none."""
    known = ([label for label in row if 0 <= label < len(table.classes)] for row in table.frame["labels"])
    return targets(known, len(table.classes))


def frequencies(table: Table) -> dict[str, float]:
    """By class, the share of photos that show it."""
    shares = present(table).sum(axis=0) / max(len(table.frame), 1)
    return {name: round(float(share), 6) for name, share in zip(table.classes, shares, strict=True)}
