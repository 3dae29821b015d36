"""Near-duplicates: photos whose perceptual hashes differ in few bits."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

DISTANCE = 4
"""Most bits of 64 in which the hashes of near-duplicates differ."""
FLAT = 1.0
"""Least sharpness of a photo whose hash is distinctive; flatter ones show one colour or a soft gradient."""
_CHUNK = 1 << 22
"""Most pairs that are compared at a time, which bounds the memory."""


def pairs(hashes: np.ndarray, distance: int = DISTANCE) -> np.ndarray:
    """Find all pairs within a Hamming distance.

    Two hashes that differ in d bits agree in at least one of d + 1 bands of bits (pigeonhole principle), so that only
    photos with an equal band are compared.

    Args:
        hashes: uint64 [N].
        distance: bits, 0 to 63.

    Returns:
        int64 [P, 2], ascending, the smaller index of a pair first.
    """
    parts = [np.empty((0, 2), np.int64)]
    for band in _bands(distance):
        keys = hashes & band
        order = np.argsort(keys, kind="stable")
        starts = np.flatnonzero(np.r_[True, np.diff(keys[order]) != 0, True])
        for start, end in pairwise(starts):
            if end - start > 1:
                parts += _pairs_among(hashes, order[start:end], distance)
    return np.unique(np.concatenate(parts), axis=0)


def clusters(hashes: np.ndarray, distance: int = DISTANCE) -> np.ndarray:
    """Cluster photos that are linked by chains of near-duplicates; equal hashes are compared once.

    Args:
        hashes: uint64 [N].
        distance: bits, 0 to 63.

    Returns:
        int64 [N], the cluster of each photo: the index of its first member.
    """
    values, inverse = np.unique(hashes, return_inverse=True)
    return _first_members(_components(pairs(values, distance), len(values))[inverse])


def groups(
    hashes: np.ndarray, distinctive: np.ndarray, sha256: Sequence[str], links: np.ndarray | None = None
) -> np.ndarray:
    """Group photos that belong into one split: near-duplicates, files with equal content, and linked photos.

    Args:
        hashes: uint64 [N].
        distinctive: bool [N], photos whose hash is meaningful; the others are grouped by content alone.
        sha256: N digests; a photo with an empty digest is alone.
        links: int [P, 2], further pairs of photos that belong together (look-alikes).

    Returns:
        int64 [N], the group of each photo: the index of its first member.
    """
    names = np.array([digest or str(i) for i, digest in enumerate(sha256)])
    grouped, rows = _first_members(names), np.flatnonzero(distinctive)
    # hashes of flat photos are alike though the photos are not; equal bytes still join them
    grouped[rows] = rows[clusters(hashes[rows])]
    return grouped if links is None else _components(np.concatenate([_links(grouped), links]), len(grouped))


def nearest(hashes: np.ndarray, among: np.ndarray, distance: int = DISTANCE) -> np.ndarray:
    """Nearest neighbour of each photo in a second list, by Hamming distance.

    Equal hashes are compared once, so that a thousand copies cost no more than one.

    Args:
        hashes: uint64 [N].
        among: uint64 [M].
        distance: bits, 0 to 63.

    Returns:
        int64 [N], indexes of ``among`` (the first of equals), -1 where none is within the distance.
    """
    values, inverse = np.unique(np.concatenate([hashes, among]), return_inverse=True)
    first = np.full(len(values), len(among))
    np.minimum.at(first, inverse[len(hashes) :], np.arange(len(among)))
    links, itself = pairs(values, distance), np.arange(len(values))
    # both directions, and each value with itself: `among` may hold the very same hash
    links = np.concatenate([links, links[:, ::-1], np.stack([itself, itself], axis=1)])
    links = links[first[links[:, 1]] < len(among)]
    apart = np.bitwise_count(values[links[:, 0]] ^ values[links[:, 1]])
    links = links[np.lexsort((first[links[:, 1]], apart, links[:, 0]))]
    photos, positions = np.unique(links[:, 0], return_index=True)
    neighbours = np.full(len(values), -1)
    neighbours[photos] = first[links[positions, 1]]
    return np.asarray(neighbours[inverse[: len(hashes)]])


def _components(links: np.ndarray, count: int) -> np.ndarray:
    """Connected component of each of ``count`` nodes under links [P, 2]: the index of its first node, int64 [N]."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first, second = links.T
    graph = coo_array((np.ones(len(first), bool), (first, second)), shape=(count, count))
    return _first_members(connected_components(graph, directed=False)[1])


def _first_members(labels: np.ndarray) -> np.ndarray:
    """Replace each label by the index of the first element with it."""
    _, first_members, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.asarray(first_members[inverse])


def _links(groups: np.ndarray) -> np.ndarray:
    """Link each element to its group's first member, int64 [N, 2]."""
    return np.stack([np.arange(len(groups)), groups], axis=1)


def _bands(distance: int) -> list[np.uint64]:
    """Masks of ``distance + 1`` bands that cover 64 bits."""
    edges = np.linspace(0, 64, distance + 2).astype(int).tolist()
    return [np.uint64((1 << high) - (1 << low)) for low, high in pairwise(edges)]


def _pairs_among(hashes: np.ndarray, members: np.ndarray, distance: int) -> Iterator[np.ndarray]:
    """Pairs within a distance among some photos, int64 [P, 2], block by block."""
    values, rows = hashes[members], max(1, _CHUNK // len(members))
    for start in range(0, len(members), rows):
        # columns from `start` on: pairs with earlier photos are in earlier blocks
        apart = np.bitwise_count(values[start : start + rows, None] ^ values[None, start:])
        left, right = np.nonzero(apart <= distance)
        ahead = left < right
        both = np.stack([members[start + left[ahead]], members[start + right[ahead]]], axis=1)
        yield np.sort(both, axis=1).astype(np.int64)
