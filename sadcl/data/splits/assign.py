"""Who belongs to which split.

A source with splits of its own gets `select` cut from its train photos by a hash of the id, mended only where a class
is rare: a photo with common labels goes where its hash says, whatever other photos there are, so that nobody moves
when photos are added. Of a rare class's photos the share is kept within one photo of what was asked, and every class
that has a photo keeps one in train. This leaves no trace on the disk, and published lists stay what they are.

People's own photos are dealt out once by their labels, near-duplicates together, and the choice is written down.
"""

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from math import ceil, floor
from pathlib import Path

import numpy as np

from sadcl import files
from sadcl.data.splits import stratification
from sadcl.data.table import SPLITS
from sadcl.errors import SadclError
from sadcl.progress import say

_Place = tuple[str, str]
"""The split of a photo, and the digest of its bytes; empty where that is not known."""
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


def assign(
    ids: Sequence[str],
    targets: np.ndarray,
    fraction: float,
    seed: int,
    kept: Path,
    *,
    groups: np.ndarray | None = None,
    given: Sequence[str] | None = None,
    unsure: np.ndarray | None = None,
    digests: Sequence[str] | None = None,
) -> list[str]:
    """Deal photos out to `test` and `select`, a share ``fraction`` each, and `train`, the rest.

    Each label has its share in each split (``stratification``), groups are not torn, and who has a split keeps it.

    Args:
        ids: N names.
        targets: bool [N, C].
        fraction: above 0 and below 0.5.
        seed: another seed gives another choice.
        kept: a CSV file that remembers by content and by name: a photo that it knows stays where it is, under another
            name, too; a new one is added to it.
        groups: int [N], the same for photos that belong together (near-duplicates); by default each is alone.
        given: N splits that the source itself gives, empty where it gives none; these are not remembered.
        unsure: bool [N], photos that can't be read; a split that is new for one is not remembered.
        digests: N of the photos' bytes (SHA-256), empty where one can't be read; without them names alone count.

    Returns:
        N splits.

    Raises:
        SadclError: the fraction leaves nothing for a split, or the file is damaged.
    """
    check_shares(fraction)
    given = given or [""] * len(ids)
    digests = digests or [""] * len(ids)
    known = _read(kept) if kept.exists() else {}
    by_content = {digest: split for split, digest in known.values() if digest}
    present = [own or _known(known, by_content, *who) for *who, own in zip(ids, digests, given, strict=True)]
    sure = np.ones(len(ids), bool) if unsure is None else ~unsure
    asked = [i for i in range(len(ids)) if sure[i] and not given[i]]
    if all(present):
        _write(kept, known, {ids[i]: (present[i], digests[i]) for i in asked})
        return present
    found = stratification.stratify(
        targets,
        np.arange(len(ids)) if groups is None else groups,
        np.array([1 - 2 * fraction, fraction, fraction]),
        np.array([_draw(f"{seed}/split/{name}") for name in ids]),
        np.array([SPLITS.index(split) if split else -1 for split in present]),
    )
    splits = [SPLITS[split] for split in found]
    _write(kept, known, {ids[i]: (splits[i], digests[i]) for i in asked})
    return splits


def check_shares(fraction: float) -> None:
    """Refuse a share of test and select that leaves nothing.

    Raises:
        SadclError: it does.
    """
    if not 0 < fraction < 0.5:
        raise SadclError(
            f"The source has no splits of its own, and test and select can't both have a share of {fraction} of it",
            where="ingest.select_fraction",
            fix="Give a share above 0 and below 0.5, or each photo its split",
        )


def _known(known: Mapping[str, _Place], by_content: Mapping[str, str], name: str, digest: str) -> str:
    """The split of a photo: by name where it is the same photo, else by content, else by name; empty for a new one."""
    split, before = known.get(name, ("", ""))
    return split if digest in ("", before) else by_content.get(digest, split)


def _read(path: Path) -> dict[str, _Place]:
    """What is remembered; files of earlier versions have no column of digests."""
    try:
        rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8")), strict=True))[1:]
        known = {name: (split, digest[0] if digest else "") for name, split, *digest in rows}
        damaged = not {split for split, _ in known.values()} <= set(SPLITS)
    except (csv.Error, ValueError):
        damaged = True
    if damaged:
        raise SadclError(
            "The file that remembers who belongs to which split is damaged",
            where=path,
            fix="Get it back from git; without it photos would change sides",
        )
    return known


def _write(path: Path, known: Mapping[str, _Place], found: Mapping[str, _Place]) -> None:
    """Remember what was found, if it is news; photos that are away stay remembered."""
    digests = {name: known.get(name, ("", ""))[1] for name in found}
    everything = {**known, **{name: (split, digest or digests[name]) for name, (split, digest) in found.items()}}
    if everything == known:
        return
    text = io.StringIO()
    rows = [(name, *place) for name, place in sorted(everything.items())]
    csv.writer(text, lineterminator="\n").writerows([("file", "split", "sha256"), *rows])
    files.write_text(path, text.getvalue())
    say(f"  Who is in which split stands in {path}; commit it, or photos change sides when it is lost")


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
