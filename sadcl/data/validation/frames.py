"""Frames that the validation rules check, computed from the annotation table."""

from typing import Any

import numpy as np
import pandas as pd

from sadcl.data.table import SPLITS, Table
from sadcl.data.validation import baseline, drift
from sadcl.data.validation.baseline import Baseline


def images(table: Table) -> pd.DataFrame:
    """Frame with one row per image; ``twin`` names a photo with the same content in another split."""
    frame = table.frame.reset_index(drop=True)
    images = frame[["image_id", "file", "split"]].assign(problem=frame["problem"].astype(object))
    images["problem"] = images["problem"].where(frame["problem"].notna(), None)
    # a photo that can't be decoded has no size: "files readable" reports it, "sides" ignores it
    images["short_side"] = frame[["width", "height"]].min(axis=1).where(frame["problem"].isna()).astype(float)
    images["labels"] = frame["labels"].map(len) + frame["ignored"].map(len)
    images["twin"] = _twins(frame)
    return images


def _twins(frame: pd.DataFrame) -> "pd.Series[Any]":
    by_digest: dict[str, dict[str, str]] = {}
    for image_id, split, sha256 in zip(frame["image_id"], frame["split"], frame["sha256"], strict=True):
        by_digest.setdefault(sha256 or "", {}).setdefault(split, image_id)
    by_digest[""] = {}  # files that could not be read have no digest to share
    twins = [
        next((f"{image_id} in {home}" for home, image_id in by_digest[sha256 or ""].items() if home != split), None)
        for split, sha256 in zip(frame["split"], frame["sha256"], strict=True)
    ]
    return pd.Series(twins, index=frame.index, dtype=object)


def labels(table: Table) -> pd.DataFrame:
    """Frame with one row per label, present or ignored."""
    frame = table.frame
    lists = [[*present, *ignored] for present, ignored in zip(frame["labels"], frame["ignored"], strict=True)]
    rows = np.repeat(np.arange(len(lists)), [len(row) for row in lists])
    labels = frame[["image_id", "file"]].iloc[rows].reset_index(drop=True)
    labels["label"] = np.array([label for row in lists for label in row], dtype=np.int64)
    return labels


def classes(table: Table) -> pd.DataFrame:
    """Frame with one row per class and split: photos that show the class, and photos that certainly do not.

    A photo in which a class is ignored counts as neither.
    """
    present, ignored = baseline.present_labels(table), baseline.ignored_labels(table)
    parts = []
    for split in SPLITS:
        rows = (table.frame["split"] == split).to_numpy()
        positives, negatives = present[rows].sum(axis=0), (~present & ~ignored)[rows].sum(axis=0)
        part = {"class": table.classes, "split": split, "positives": positives, "negatives": negatives}
        parts.append(pd.DataFrame(part))
    return pd.concat(parts, ignore_index=True)


def unlabelled(table: Table) -> dict[str, dict[str, int]]:
    """Number of photos without a present label by split: ``negative``, and ``unknown`` where every class is ignored."""
    empty, ignored = table.frame["labels"].map(len) == 0, table.frame["ignored"].map(len)
    counts: dict[str, dict[str, int]] = {}
    for split in SPLITS:
        rows = empty & (table.frame["split"] == split)
        unknown = rows & (ignored == len(table.classes))
        counts[split] = {"negative": int((rows & (ignored == 0)).sum()), "unknown": int(unknown.sum())}
    return counts


def look_alikes(table: Table, *, of_test: bool) -> pd.DataFrame:
    """Frame with one row per photo of test, or of train and select; ``near`` names its look-alike on the other side.

    Equal content is left to ``twin``.
    """
    frame = table.frame
    splits, digests = (dict(zip(frame["image_id"], frame[name], strict=True)) for name in ("split", "sha256"))
    near: dict[str, str] = {}
    for pair in table.look_alikes:
        image_id, counterpart = (pair.test, pair.other) if of_test else (pair.other, pair.test)
        if digests[pair.test] != digests[pair.other]:
            where = f"{counterpart} in {splits[counterpart]}"
            near.setdefault(image_id, f"{where}, {pair.transform}" if pair.transform else f"nearly {where}")
    rows = frame[(frame["split"] == "test") == of_test].reset_index(drop=True)
    names = [near.get(image_id) for image_id in rows["image_id"]]
    return rows[["image_id", "file"]].assign(near=pd.Series(names, dtype=object))


def frequencies(table: Table, before: Baseline) -> pd.DataFrame:
    """Frame with one row per class of the data or the baseline.

    ``shift`` is the change relative to the baseline, and 0 where chance explains it.
    """
    now = baseline.frequencies(table)
    rows = []
    for name in [*now, *(name for name in before.frequencies if name not in now)]:
        change = None if name in now and name in before.frequencies else "new" if name in now else "gone"
        rows.append((name, before.frequencies.get(name, 0.0), now.get(name, 0.0), change))
    frame = pd.DataFrame(rows, columns=["class", "before", "now", "change"])
    previous, current = frame["before"].to_numpy(float), frame["now"].to_numpy(float)
    chance = drift.shift_by_chance(previous, current, (before.images, len(table.frame)), len(frame))
    difference = np.abs(current - previous)
    with np.errstate(divide="ignore", invalid="ignore"):
        # a change from 0 is infinite; a new or missing class is reported by another rule
        shift = np.where(difference > chance, (difference / previous).round(9), 0.0)
    frame["shift"] = np.where(frame["change"].notna(), np.nan, shift)
    return frame.assign(change=frame["change"].astype(object).where(frame["change"].notna(), None))


def measures(table: Table, before: Baseline) -> pd.DataFrame:
    """Frame with one row per measure of photos: medians, and distance from the baseline.

    ``moved`` is the distance, and 0 where chance explains it.
    """
    rows, distributions = [], before.measures or {}
    for name, values in baseline.measures(table).items() if distributions else ():
        previous = distributions[name]
        distance = drift.distance(previous, values)
        explained = distance <= drift.distance_by_chance(previous.count, len(values))
        median = drift.distribution(values).median
        rows.append((name, baseline.MEASURES[name], previous.median, median, distance, 0.0 if explained else distance))
    return pd.DataFrame(rows, columns=["measure", "name", "before", "now", "distance", "moved"])


def co_occurrences(table: Table, before: Baseline) -> pd.DataFrame:
    """Frame with one row per frequent pair of classes of the data or the baseline, and the shift of their overlap.

    The overlap is the fraction of photos with both classes among photos with either (Jaccard index). A pair too rare
    for the baseline counts with the most photos that it can have had. ``shift`` is 0 where chance explains it.
    """
    columns = ["pair", "before", "now", "shift"]
    if before.together is None:
        return pd.DataFrame(columns=columns, dtype=float)
    counts = baseline.co_occurrences(baseline.present_labels(table))
    known = {name: i for i, name in enumerate(table.classes) if name in before.frequencies}
    now = baseline.pairs_of(table.classes, counts)
    pairs = {*sorted(now, key=lambda pair: (-now[pair], pair))[: baseline.PAIRS], *before.together}
    compared = sorted(pair for pair in pairs if pair[0] in known and pair[1] in known)
    if not compared:
        return pd.DataFrame(columns=columns, dtype=float)
    first, second = (np.array([known[pair[k]] for pair in compared]) for k in (0, 1))
    single, both = counts.diagonal(), np.asarray(counts[first, second]).ravel()
    either = single[first] + single[second] - both
    expected = [[before.frequencies[name] * before.images for name in pair] for pair in compared]
    single_before = np.array(expected).round()
    both_before = np.minimum([before.together.get(pair, before.others) for pair in compared], single_before.min(axis=1))
    either_before = single_before.sum(axis=1) - both_before
    previous, current = both_before / np.maximum(either_before, 1), both / np.maximum(either, 1)
    chance = drift.shift_by_chance(previous, current, (either_before, either), len(compared))
    difference = np.abs(current - previous)
    names = [f"{a} and {b}" for a, b in compared]
    shift = np.where((difference > chance) & (either_before > 0) & (either > 0), difference.round(9), 0.0)
    return pd.DataFrame(dict(zip(columns, (names, previous, current, shift), strict=True)))
