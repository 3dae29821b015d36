"""Near-duplicates: photos whose perceptual hashes differ in a few bits."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

DISTANCE = 4
"""Bits of 64 in which two photos may differ and still count as the same picture."""
FLAT = 1.0
"""Photos that are less sharp than this show nothing that a hash could tell apart: one colour, or a soft gradient."""
_CHUNK = 1 << 22
"""Pairs compared at a time."""


def pairs(hashes: np.ndarray, distance: int = DISTANCE) -> np.ndarray:
    """Find all pairs within a distance.

    Two hashes that differ in d bits agree in at least one of d + 1 bands of bits, so that only photos which
    share a band are compared.

    Args:
        hashes: uint64 [N].
        distance: bits, 0 to 63.

    Returns:
        int64 [P, 2], ascending, the smaller index of a pair first.
    """
    found = [np.empty((0, 2), np.int64)]
    for band in _bands(distance):
        keys = hashes & band
        order = np.argsort(keys, kind="stable")
        starts = np.flatnonzero(np.r_[True, np.diff(keys[order]) != 0, True])
        for start, end in pairwise(starts):
            if end - start > 1:
                found += _within(hashes, order[start:end], distance)
    return np.unique(np.concatenate(found), axis=0)


def clusters(hashes: np.ndarray, distance: int = DISTANCE) -> np.ndarray:
    """Join photos that are linked by near-duplicates; copies of one picture cost no more than one.

    Returns:
        int64 [N], the cluster of each photo: the index of its first member.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    values, places = np.unique(hashes, return_inverse=True)
    first, second = pairs(values, distance).T
    links = coo_array((np.ones(len(first), bool), (first, second)), shape=(len(values), len(values)))
    _, labels = connected_components(links, directed=False)
    _, members, found = np.unique(labels[places], return_index=True, return_inverse=True)
    return np.asarray(members[found])


def groups(hashes: np.ndarray, clear: np.ndarray, sha256: Sequence[str]) -> np.ndarray:
    """Join photos that must not be torn apart: near-duplicates, and files with the very same content.

    Args:
        hashes: uint64 [N].
        clear: bool [N], photos that show something which a hash can tell apart; of others, content alone counts.
        sha256: N digests, empty where there is none; such a photo is alone.

    Returns:
        int64 [N], the group of each photo: the index of its first member.
    """
    names = [digest or str(i) for i, digest in enumerate(sha256)]
    _, members, places = np.unique(names, return_index=True, return_inverse=True)
    found, rows = np.asarray(members[places]), np.flatnonzero(clear)
    found[rows] = rows[clusters(hashes[rows])]
    return found


def nearest(hashes: np.ndarray, among: np.ndarray, distance: int = DISTANCE) -> np.ndarray:
    """For each photo, the most similar one among others.

    Photos with the very same hash are compared once, so that a thousand copies cost no more than one.

    Args:
        hashes: uint64 [N].
        among: uint64 [M].
        distance: bits, 0 to 63.

    Returns:
        int64 [N], indexes of ``among`` (of equals the first), -1 where none is within the distance.
    """
    values, places = np.unique(np.concatenate([hashes, among]), return_inverse=True)
    first = np.full(len(values), len(among))
    np.minimum.at(first, places[len(hashes) :], np.arange(len(among)))
    links, itself = pairs(values, distance), np.arange(len(values))
    links = np.concatenate([links, links[:, ::-1], np.stack([itself, itself], axis=1)])
    links = links[first[links[:, 1]] < len(among)]
    apart = np.bitwise_count(values[links[:, 0]] ^ values[links[:, 1]])
    links = links[np.lexsort((first[links[:, 1]], apart, links[:, 0]))]
    ones, at = np.unique(links[:, 0], return_index=True)
    found = np.full(len(values), -1)
    found[ones] = first[links[at, 1]]
    return np.asarray(found[places[: len(hashes)]])


def _bands(distance: int) -> list[np.uint64]:
    edges = np.linspace(0, 64, distance + 2).astype(int).tolist()
    return [np.uint64((1 << high) - (1 << low)) for low, high in pairwise(edges)]


def _within(hashes: np.ndarray, members: np.ndarray, distance: int) -> Iterator[np.ndarray]:
    """Pairs among some photos, block by block."""
    values, rows = hashes[members], max(1, _CHUNK // len(members))
    for start in range(0, len(members), rows):
        apart = np.bitwise_count(values[start : start + rows, None] ^ values[None, start:])
        left, right = np.nonzero(apart <= distance)
        ahead = left < right
        both = np.stack([members[start + left[ahead]], members[start + right[ahead]]], axis=1)
        yield np.sort(both, axis=1).astype(np.int64)
