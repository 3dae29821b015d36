"""Look-alikes: photos that are others mirrored, rotated, cropped, shifted, or as a negative.

Hashes of many windows name candidates (``cosine_hashes``); aligning both photos decides (``alignment``). No pair of
photos is aligned unless its hashes are close and its terms correlate more than most, so that the time grows with the
photos and not with their pairs.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from sadcl.data.splits import alignment
from sadcl.data.splits.cosine_hashes import CENTRE, SYMMETRIES, WINDOWS, HashIndex, Hits
from sadcl.progress import track

_CHUNK = 128
"""Photos that are looked up at a time, which bounds the memory."""
_MAX_PAIRS = 128
"""Most pairs that are aligned for one photo, those with the highest correlation of their terms."""
_MIN_PAIRS = 8
"""Pairs that are aligned for one photo whatever their correlation: a caption or a patch lowers it."""
_CORRELATION = 0.8
"""Least correlation of the terms of further pairs: 99 of 100 copies that are cropped or shifted by 10 % have 0.84 or
more, and nine in ten other photos with close hashes less than 0.73."""
_BATCH = 2048
"""Pairs that are aligned at a time."""
_NAMES = (
    "", "mirrored", "mirrored top to bottom", "rotated by 180°",
    "mirrored along the diagonal", "rotated by 90° clockwise", "rotated by 90° anticlockwise",
    "mirrored along the other diagonal",
)  # fmt: skip
"""Effect of each of ``SYMMETRIES`` on a photo."""
_SCALED, _MOVED = 0.04, 0.03
"""Change of a photo's scale that means a crop, and move of its centre that means a shift."""


class Matches(NamedTuple):
    """Pairs of look-alikes, the most similar of each pair's transforms.

    Attributes:
        first, second: int [P], indexes of photos.
        similarity: float [P], see ``alignment``, 0 to 1.
        transform: P descriptions of what turns the second into the first; empty where both show the same.
    """

    first: np.ndarray
    second: np.ndarray
    similarity: np.ndarray
    transform: list[str]


def find(thumbnails: np.ndarray, first: np.ndarray, second: np.ndarray, workers: int) -> Matches:
    """Find look-alikes of some photos among others.

    Args:
        thumbnails: uint8 [N, 32, 32], squashed to squares.
        first: int [Q], photos to look up, the shorter list.
        second: int [M], photos to search; no photo is a look-alike of itself.
        workers: threads.
    """
    from threadpoolctl import threadpool_limits

    parts: list[Matches] = []
    if len(first) and len(second):
        index = HashIndex(thumbnails, second)
        chunks = [first[start : start + _CHUNK] for start in range(0, len(first), _CHUNK)]
        # the products are small: threads of BLAS below these would mostly wait for each other
        with ThreadPoolExecutor(max(1, workers)) as pool, threadpool_limits(1):
            results = pool.map(lambda photos: _matches(index, thumbnails, photos, second), chunks)
            parts = list(track(results, "look-alikes", total=len(chunks), each=_CHUNK))
    if not parts:
        return Matches(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), [])
    return Matches(
        np.concatenate([part.first for part in parts]),
        np.concatenate([part.second for part in parts]),
        np.concatenate([part.similarity for part in parts]),
        [name for part in parts for name in part.transform],
    )


def _matches(index: HashIndex, thumbnails: np.ndarray, first: np.ndarray, second: np.ndarray) -> Matches:
    hits = index.lookup(thumbnails[first])
    hits = _closest(_select(hits, first[hits.photos] != second[hits.entries]))
    windows, similarities = np.empty((len(hits.photos), 4), np.float32), np.empty(len(hits.photos), np.float32)
    for start in range(0, len(hits.photos), _BATCH):
        part = _select(hits, slice(start, start + _BATCH))
        others = _transformed(thumbnails[second[part.entries]], part)
        samples = alignment.sample(others, np.broadcast_to(CENTRE, (len(others), 4)))
        windows[start : start + _BATCH], similarities[start : start + _BATCH] = alignment.align(
            thumbnails[first[part.photos]], samples, WINDOWS[part.windows]
        )
    order = np.lexsort((-similarities, hits.entries, hits.photos))
    order = order[similarities[order] >= alignment.SIMILARITY]
    pairs = hits.photos[order] * np.int64(len(second)) + hits.entries[order]
    order = order[np.unique(pairs, return_index=True)[1]]
    accepted = _select(hits, order)
    names = [_describe(*row) for row in zip(accepted.symmetries, accepted.negative, windows[order], strict=True)]
    return Matches(first[accepted.photos], second[accepted.entries], similarities[order].astype(float).round(3), names)


def _select(hits: Hits, rows: np.ndarray | slice) -> Hits:
    return Hits(*(values[rows] for values in hits))


def _closest(hits: Hits) -> Hits:
    """Select for each photo the hits whose terms correlate most."""
    order = np.lexsort((-hits.correlations, hits.photos))
    photos = hits.photos[order]
    rank = np.arange(len(photos)) - np.searchsorted(photos, photos)
    likely = (rank < _MIN_PAIRS) | (hits.correlations[order] >= _CORRELATION)
    return _select(hits, order[likely & (rank < _MAX_PAIRS)])


def _transformed(thumbnails: np.ndarray, hits: Hits) -> np.ndarray:
    """Thumbnails as each hit turns them, float32 [N, 32, 32]."""
    turned = np.where(hits.negative[:, None, None], 255 - thumbnails, thumbnails)
    for number, (transposed, vertical, horizontal) in enumerate(SYMMETRIES):
        rows = hits.symmetries == number
        values = turned[rows].swapaxes(1, 2) if transposed else turned[rows]
        turned[rows] = values[:, :: -1 if vertical else 1, :: -1 if horizontal else 1]
    return turned.astype(np.float32)


def _describe(symmetry: int, negative: bool, window: np.ndarray) -> str:
    """Describe what turns the second photo into the first, of which the window shows the second's central part."""
    return ", ".join(_words(symmetry, negative, window))


def _words(symmetry: int, negative: bool, window: np.ndarray) -> Iterator[str]:
    if _NAMES[symmetry]:
        yield _NAMES[symmetry]
    sides = (window[1::2] - window[::2]) / (CENTRE[1] - CENTRE[0])
    if np.abs(sides - 1).max() > _SCALED:
        yield "cropped"
    elif np.abs(window[1::2] + window[::2] - 1).max() / 2 > _MOVED:
        yield "shifted"
    if negative:
        yield "as a negative"
