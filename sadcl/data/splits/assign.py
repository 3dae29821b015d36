"""Assignment of photos to splits.

A source with splits of its own gets `select` from its train photos by a hash of the id, corrected for rare classes
only: a photo with common labels goes where its hash says, whatever other photos exist, so that added photos move none.
Of a rare class's photos the share is right within one photo, and every class keeps a photo in train. The choice needs
no file, and published lists stay as they are.

Photos without splits are assigned once by their labels, near-duplicates together, and a CSV file keeps the choice.
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

_Assignment = tuple[str, str]
"""Split of a photo, and digest of its bytes; the digest is empty where it is unknown."""
RARE = 20
"""A class is rare when the smaller part would get fewer of its photos than this on average."""


def select_mask(
    ids: Sequence[str], targets: np.ndarray, fraction: float, seed: int, purpose: str = "select"
) -> np.ndarray:
    """Choose a fraction of the photos.

    Args:
        ids: N image ids.
        targets: bool [N, C].
        fraction: of the photos to choose.
        seed, purpose: each seed and each purpose gives its own choice.

    Returns:
        bool [N], true for chosen photos.
    """
    draws = np.array([_draw(f"{seed}/{purpose}/{name}") for name in ids], dtype=np.float64)
    chosen, decided = np.zeros(len(draws), dtype=bool), np.zeros(len(draws), dtype=bool)
    if fraction <= 0:
        return chosen
    order = np.argsort(draws, kind="stable")
    remaining = targets.sum(axis=0)  # [C], photos of each class that are not chosen
    counts = remaining.copy()

    def choose(photo: int) -> bool:
        """Choose a photo, unless a class would lose its last remaining one."""
        if np.any(remaining[targets[photo]] < 2):
            return False
        chosen[photo] = True
        remaining[targets[photo]] -= 1
        return True

    for label in _rare(counts, fraction):
        members = order[targets[order, label]]
        goal = _goal(int(np.sum(draws[members] < fraction)), len(members), fraction)
        for photo in members[~decided[members]]:
            if counts[label] - remaining[label] < goal:
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
    path: Path,
    *,
    groups: np.ndarray | None = None,
    fixed: Sequence[str] | None = None,
    unreadable: np.ndarray | None = None,
    digests: Sequence[str] | None = None,
) -> list[str]:
    """Assign a fraction of the photos to `test`, an equal one to `select`, and the rest to `train`.

    Each label has its share in each split (``stratification``), groups stay together, and a photo keeps its split.

    Args:
        ids: N image ids.
        targets: bool [N, C].
        fraction: of test and of select, above 0 and below 0.5.
        seed: each seed gives its own assignment.
        path: CSV file with the assignment, by id and by digest: a known photo keeps its split, also under another
            name; a new photo is added.
        groups: int [N], equal for photos that belong together (near-duplicates); by default each is alone.
        fixed: N splits by the source, empty where it names none; these are not written to the file.
        unreadable: bool [N], photos that can't be decoded; a new split of such a photo is not written to the file.
        digests: N SHA-256 of the photos' bytes, empty for unreadable files; without digests only ids count.

    Returns:
        N splits.

    Raises:
        SadclError: the fraction leaves a split empty, or the file is damaged.
    """
    check_shares(fraction)
    fixed = fixed or [""] * len(ids)
    digests = digests or [""] * len(ids)
    known = _read(path) if path.exists() else {}
    by_content = {digest: split for split, digest in known.values() if digest}
    present = [
        split or _known_split(known, by_content, name, digest)
        for name, digest, split in zip(ids, digests, fixed, strict=True)
    ]
    readable = np.ones(len(ids), bool) if unreadable is None else ~unreadable
    recorded = [i for i in range(len(ids)) if readable[i] and not fixed[i]]
    if all(present):
        _write(path, known, {ids[i]: (present[i], digests[i]) for i in recorded})
        return present
    indexes = stratification.stratify(
        targets,
        np.arange(len(ids)) if groups is None else groups,
        np.array([1 - 2 * fraction, fraction, fraction]),
        np.array([_draw(f"{seed}/split/{name}") for name in ids]),
        np.array([SPLITS.index(split) if split else -1 for split in present]),
    )
    splits = [SPLITS[index] for index in indexes]
    _write(path, known, {ids[i]: (splits[i], digests[i]) for i in recorded})
    return splits


def check_shares(fraction: float) -> None:
    """Check that the fraction of test and of select leaves photos for train.

    Raises:
        SadclError: it is not above 0 and below 0.5.
    """
    if not 0 < fraction < 0.5:
        raise SadclError(
            f"The source has no splits, and test and select can't each get a fraction of {fraction}",
            where="ingest.select_fraction",
            fix="Set a fraction above 0 and below 0.5, or give each photo a split",
        )


def _known_split(known: Mapping[str, _Assignment], by_content: Mapping[str, str], name: str, digest: str) -> str:
    """Split of a photo: by name if its digest is unchanged, else by digest, else by name; empty for a new photo."""
    split, known_digest = known.get(name, ("", ""))
    return split if digest in ("", known_digest) else by_content.get(digest, split)


def _read(path: Path) -> dict[str, _Assignment]:
    """Read the assignment, by id.

    Raises:
        SadclError: the file is damaged.
    """
    try:
        rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8")), strict=True))[1:]
        # files of earlier versions have no column of digests
        known = {name: (split, digest[0] if digest else "") for name, split, *digest in rows}
        damaged = not {split for split, _ in known.values()} <= set(SPLITS)
    except (csv.Error, ValueError):
        damaged = True
    if damaged:
        raise SadclError(
            "The file with the assignment to splits is damaged",
            where=path,
            fix="Restore it from git; without it photos would change their splits",
        )
    return known


def _write(path: Path, known: Mapping[str, _Assignment], assigned: Mapping[str, _Assignment]) -> None:
    """Write the assignment if it has changed; photos that are absent now stay in it."""
    digests = {name: known.get(name, ("", ""))[1] for name in assigned}
    merged = {**known, **{name: (split, digest or digests[name]) for name, (split, digest) in assigned.items()}}
    if merged == known:
        return
    text = io.StringIO()
    rows = [(name, *assignment) for name, assignment in sorted(merged.items())]
    csv.writer(text, lineterminator="\n").writerows([("file", "split", "sha256"), *rows])
    files.write_text(path, text.getvalue())
    say(f"  The assignment to splits is in {path}; commit it, so that photos keep their splits")


def _rare(counts: np.ndarray, fraction: float) -> list[int]:
    """Indexes of rare classes, rarest first; ``counts`` is int [C]."""
    rare = np.flatnonzero((counts > 0) & (counts * min(fraction, 1 - fraction) < RARE))
    return [int(label) for label in rare[np.argsort(counts[rare], kind="stable")]]


def _goal(drawn: int, photos: int, fraction: float) -> int:
    """Photos of a class to choose: as many as the hashes drew, clipped to within one photo of the fraction."""
    fewest, most = max(1, floor(photos * fraction)), ceil(photos * fraction)
    return min(max(drawn, fewest), max(most, fewest))


def _draw(text: str) -> float:
    """Number in 0 to 1 by a hash of the text: the same on every machine, whatever other photos exist."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) / 2**64
