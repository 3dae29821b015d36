"""Who belongs to which split: by a hash of the id, mended only where a class is rare.

A photo with common labels goes where its hash says, whatever other photos there are: nobody moves
when photos are added. Of a rare class's photos the share is kept within one photo of what was
asked, and every class that has a photo keeps one in train.
"""

import csv
import hashlib
import io
from collections.abc import Sequence
from math import ceil, floor
from pathlib import Path

import numpy as np

from sadcl import files
from sadcl.data.table import SPLITS
from sadcl.errors import SadclError

RARE = 20
"""A class is rare when chance would bring fewer of its photos than this into the smaller part."""


def select_mask(
    ids: Sequence[str], targets: np.ndarray, fraction: float, seed: int, purpose: str = "select"
) -> np.ndarray:
    """Choose a share of the photos.

    Args:
        ids: N names.
        targets: bool [N, C].
        fraction: the share to choose.
        seed, purpose: another of either gives another choice.

    Returns:
        bool [N], true for the chosen.
    """
    draws = np.array([_draw(f"{seed}/{purpose}/{name}") for name in ids], dtype=np.float64)
    chosen, decided = np.zeros(len(draws), dtype=bool), np.zeros(len(draws), dtype=bool)
    if fraction <= 0:
        return chosen
    order = np.argsort(draws, kind="stable")
    left = targets.sum(axis=0)  # photos of each class that are not chosen
    counts = left.copy()

    def choose(photo: int) -> bool:
        """Take a photo, unless a class would lose its last one."""
        if np.any(left[targets[photo]] < 2):
            return False
        chosen[photo] = True
        left[targets[photo]] -= 1
        return True

    for label in _rare(counts, fraction):
        members = order[targets[order, label]]
        wanted = _wanted(int(np.sum(draws[members] < fraction)), len(members), fraction)
        for photo in members[~decided[members]]:
            if counts[label] - left[label] < wanted:
                choose(photo)
            decided[photo] = True
    for photo in order[(draws[order] < fraction) & ~decided[order]]:
        choose(photo)
    return chosen


def assign(ids: Sequence[str], targets: np.ndarray, fraction: float, seed: int, kept: Path) -> list[str]:
    """Deal photos out to `test` and `select`, a share ``fraction`` each, and `train`, the rest.

    Args:
        ids: N names.
        targets: bool [N, C].
        fraction: above 0 and below 0.5.
        seed: another seed gives another choice.
        kept: a CSV file that remembers: a photo that it names stays where it is, a new one is added to it.

    Returns:
        N splits.

    Raises:
        SadclError: the fraction leaves nothing for a split, or the file is damaged.
    """
    if not 0 < fraction < 0.5:
        raise SadclError(
            f"The source has no splits of its own, and test and select can't both have a share of {fraction} of it",
            where="ingest.select_fraction",
            fix="Give a share above 0 and below 0.5, or each photo its split",
        )
    known = _read(kept) if kept.exists() else {}
    if any(name not in known for name in ids):
        known = {**_deal(ids, targets, fraction, seed), **known}
        _write(kept, known)
    return [known[name] for name in ids]


def _deal(ids: Sequence[str], targets: np.ndarray, fraction: float, seed: int) -> dict[str, str]:
    test = select_mask(ids, targets, fraction, seed, "test")
    rest = [int(i) for i in np.flatnonzero(~test)]
    select = select_mask([ids[i] for i in rest], targets[rest], fraction / (1 - fraction), seed)
    chosen = {ids[i] for i, those in zip(rest, select, strict=True) if those}
    return {
        name: "test" if held else "select" if name in chosen else "train" for name, held in zip(ids, test, strict=True)
    }


def _read(path: Path) -> dict[str, str]:
    try:
        known = dict(list(csv.reader(io.StringIO(path.read_text(encoding="utf-8")), strict=True))[1:])
        damaged = not set(known.values()) <= set(SPLITS)
    except (csv.Error, ValueError):
        damaged = True
    if damaged:
        raise SadclError(
            "The file that remembers who belongs to which split is damaged",
            where=path,
            fix="Get it back from git; without it photos would change sides",
        )
    return known


def _write(path: Path, known: dict[str, str]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("file", "split"), *sorted(known.items())])
    files.write_text(path, text.getvalue())


def _rare(counts: np.ndarray, fraction: float) -> list[int]:
    """Rare classes, rarest first."""
    rare = np.flatnonzero((counts > 0) & (counts * min(fraction, 1 - fraction) < RARE))
    return [int(label) for label in rare[np.argsort(counts[rare], kind="stable")]]


def _wanted(natural: int, photos: int, fraction: float) -> int:
    """What chance brings, held within one photo of the share: no more moves than needed."""
    fewest, most = max(1, floor(photos * fraction)), ceil(photos * fraction)
    return min(max(natural, fewest), max(most, fewest))


def _draw(text: str) -> float:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) / 2**64
