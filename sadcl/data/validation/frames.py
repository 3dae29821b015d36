"""Frames that validation's rules look at, made from the annotation table."""

from typing import Any

import numpy as np
import pandas as pd

from sadcl.data.splits import near_duplicates
from sadcl.data.table import SPLITS, Table
from sadcl.data.validation import baseline, drift
from sadcl.data.validation.baseline import Baseline


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
    matrix = baseline.present(table)
    parts = []
    for split in SPLITS:
        positives = matrix[(table.frame["split"] == split).to_numpy()].sum(axis=0)
        part = {"class": table.classes, "split": split, "positives": positives}
        parts.append(pd.DataFrame(part))
    return pd.concat(parts, ignore_index=True)


def training_neighbours(table: Table) -> pd.DataFrame:
    """A row a photo of train or select; ``near`` names the photo of test that looks most like it, if one nearly does.

    The very same content is the business of ``twin``. A photo with a problem or without any contrast looks like none.
    """
    frame = table.frame
    rows = frame[frame["split"] != "test"].reset_index(drop=True)
    test = frame[is_distinctive(frame) & (frame["split"] == "test")]
    near = near_duplicates.nearest(rows["phash"].to_numpy(np.uint64), test["phash"].to_numpy(np.uint64))
    near[~is_distinctive(rows).to_numpy()] = -1
    digests, ids = test["sha256"].tolist(), test["image_id"].tolist()
    names = [
        f"{ids[at]} in test" if at >= 0 and digests[at] != sha256 else None
        for at, sha256 in zip(near.tolist(), rows["sha256"], strict=True)
    ]
    return rows[["image_id", "file"]].assign(near=pd.Series(names, dtype=object))


def is_distinctive(frame: pd.DataFrame) -> "pd.Series[bool]":
    """The rows whose photos show something that a hash can tell apart."""
    return frame["problem"].isna() & (frame["sharpness"] >= near_duplicates.FLAT)


def frequencies(table: Table, before: Baseline) -> pd.DataFrame:
    """A row a class that is known now or was known then.

    ``shift`` is relative to what was accepted, and 0 where chance explains the difference.
    """
    now = baseline.frequencies(table)
    rows = []
    for name in [*now, *(name for name in before.frequencies if name not in now)]:
        change = None if name in now and name in before.frequencies else "new" if name in now else "gone"
        rows.append((name, before.frequencies.get(name, 0.0), now.get(name, 0.0), change))
    frame = pd.DataFrame(rows, columns=["class", "before", "now", "change"])
    was, here = frame["before"].to_numpy(float), frame["now"].to_numpy(float)
    chance = drift.shift_by_chance(was, here, (before.images, len(table.frame)), len(frame))
    moved = np.abs(here - was)
    with np.errstate(divide="ignore", invalid="ignore"):
        # from 0 to anything is no finite share; a class that came or went is reported by the other rule
        shift = np.where(moved > chance, (moved / was).round(9), 0.0)
    frame["shift"] = np.where(frame["change"].notna(), np.nan, shift)
    return frame.assign(change=frame["change"].astype(object).where(frame["change"].notna(), None))


def measures(table: Table, before: Baseline) -> pd.DataFrame:
    """A row a measure of photos: medians and distance from what was accepted, 0 where chance explains it."""
    rows, spread = [], before.measures or {}
    for name, values in baseline.measures(table).items() if spread else ():
        then = spread[name]
        apart = drift.distance(then, values)
        explained = apart <= drift.distance_by_chance(then.count, len(values))
        now = drift.distribution(values).median
        rows.append((name, baseline.MEASURES[name], then.median, now, apart, 0.0 if explained else apart))
    return pd.DataFrame(rows, columns=["measure", "name", "before", "now", "distance", "moved"])


def together(table: Table, before: Baseline) -> pd.DataFrame:
    """A row a pair of classes that many photos show together, now or then, by how far their overlap moved.

    The overlap is the share of photos with both among photos with either. A pair that was too rare to be kept is taken
    at the most that it can have been; ``shift`` is 0 where chance explains the difference.
    """
    columns = ["pair", "before", "now", "shift"]
    if before.together is None:
        return pd.DataFrame(columns=columns, dtype=float)
    shown = baseline.together(baseline.present(table))
    known = {name: i for i, name in enumerate(table.classes) if name in before.frequencies}
    now = baseline.pairs_of(table.classes, shown)
    pairs = {*sorted(now, key=lambda pair: (-now[pair], pair))[: baseline.PAIRS], *before.together}
    kept = sorted(pair for pair in pairs if pair[0] in known and pair[1] in known)
    if not kept:
        return pd.DataFrame(columns=columns, dtype=float)
    ones, others = (np.array([known[pair[k]] for pair in kept]) for k in (0, 1))
    single = np.diag(shown)
    both, either = shown[ones, others], single[ones] + single[others] - shown[ones, others]
    had = np.array([[before.frequencies[name] * before.images for name in pair] for pair in kept]).round()
    was = np.minimum([before.together.get(pair, before.others) for pair in kept], had.min(axis=1))
    had_either = had.sum(axis=1) - was
    then, here = was / np.maximum(had_either, 1), both / np.maximum(either, 1)
    chance = drift.shift_by_chance(then, here, (had_either, either), len(kept))
    moved = np.abs(here - then)
    names = [f"{one} and {other}" for one, other in kept]
    shift = np.where((moved > chance) & (had_either > 0) & (either > 0), moved.round(9), 0.0)
    return pd.DataFrame(dict(zip(columns, (names, then, here, shift), strict=True)))
