"""Leaks between splits: photos of test that look like photos of train or select, and groups that prevent them."""

from collections.abc import Sequence

import numpy as np

from sadcl.data.images.inspect import PhotoInfo
from sadcl.data.images.statistics import HASH_SIDE
from sadcl.data.splits import look_alikes as search
from sadcl.data.splits import near_duplicates
from sadcl.data.table import LookAlike


def look_alikes(
    ids: Sequence[str], splits: Sequence[str], facts: Sequence[PhotoInfo], workers: int
) -> tuple[LookAlike, ...]:
    """Find look-alikes and near-duplicates between test and the other splits.

    Args:
        ids, splits, facts: of N photos.
        workers: threads.

    Returns:
        The most similar photo of the other side, for each photo that has one; the most similar pairs first.
    """
    in_test, distinctive = np.array(splits) == "test", _distinctive(facts)
    tests, others = np.flatnonzero(distinctive & in_test), np.flatnonzero(distinctive & ~in_test)
    matches = search.find(_thumbnails(facts), tests, others, workers)
    pairs = {
        (test, other): LookAlike(ids[test], ids[other], transform, similarity)
        for test, other, similarity, transform in zip(
            matches.first.tolist(), matches.second.tolist(), matches.similarity.tolist(), matches.transform, strict=True
        )
    }
    hashes = _hashes(facts)
    nearest = near_duplicates.nearest(hashes[others], hashes[tests])
    for other, position in zip(others.tolist(), nearest.tolist(), strict=True):
        if position >= 0:
            test = int(tests[position])
            bits = int(np.bitwise_count(hashes[test] ^ hashes[other]))
            pairs.setdefault((test, other), LookAlike(ids[test], ids[other], "", round(1 - bits / 64, 3)))
    ordered = [pairs[key] for key in sorted(pairs, key=lambda key: (-pairs[key].similarity, key))]
    return tuple(_most_similar(ordered))


def groups(facts: Sequence[PhotoInfo], workers: int) -> np.ndarray:
    """Group photos that belong into one split: look-alikes, near-duplicates, and files with equal content.

    Args:
        facts: of N photos.
        workers: threads.

    Returns:
        int64 [N], the group of each photo: the index of its first member.
    """
    distinctive = _distinctive(facts)
    digests = np.array([fact.sha256 for fact in facts])
    rows = np.unique(np.where(distinctive, digests, ""), return_index=True)[1]  # equal files are looked up once
    rows = rows[distinctive[rows]]
    matches = search.find(_thumbnails(facts), rows, rows, workers)
    links = np.stack([matches.first, matches.second], axis=1)
    return near_duplicates.groups(_hashes(facts), distinctive, digests.tolist(), links)


def _most_similar(ordered: Sequence[LookAlike]) -> list[LookAlike]:
    """Pairs that are the first of their test photo, or of the other one."""
    covered: set[tuple[str, str]] = set()
    first = []
    for pair in ordered:
        names = {("test", pair.test), ("other", pair.other)}
        if names - covered:
            first.append(pair)
            covered |= names
    return first


def _distinctive(facts: Sequence[PhotoInfo]) -> np.ndarray:
    """Whether each photo has enough contrast to be compared, bool [N]."""
    return np.array([fact.problem is None and fact.sharpness >= near_duplicates.FLAT for fact in facts], bool)


def _hashes(facts: Sequence[PhotoInfo]) -> np.ndarray:
    return np.array([fact.phash for fact in facts], np.uint64)


def _thumbnails(facts: Sequence[PhotoInfo]) -> np.ndarray:
    """Thumbnails, uint8 [N, 32, 32]; black for a photo without one."""
    empty = bytes(HASH_SIDE**2)
    pixels = b"".join(fact.thumbnail or empty for fact in facts)
    return np.frombuffer(pixels, np.uint8).reshape(-1, HASH_SIDE, HASH_SIDE)
