"""Hashes of photos by the signs of their cosine terms, and an index of them that knows eight symmetries and negatives.

A photo is hashed by its central part alone. Another photo is looked up with many windows, one of which shows about the
same part where the one photo is a crop or a shift of the other. Mirroring a photo changes the signs of odd terms, and
turning it by 90 degrees transposes them, so that one decomposition serves all symmetries.
"""

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from sadcl.data.images.statistics import HASH_SIDE as SIDE

REACH = 0.38
"""Half the side of the central part, as a share of the photo; a shift by 10 % leaves no filled border inside it."""
SYMMETRIES = tuple(product((False, True), (False, True), (False, True)))
"""Eight symmetries of a square: whether it is transposed, then mirrored top to bottom, then left to right."""
MAX_BITS = 8
"""Most bits of 48 in which hashes of look-alikes differ."""

_TERMS = 7
"""Frequencies along each axis; the mean is no part of the hash."""
_SAMPLES = 64
"""Points per window at which cosines are sampled."""
_KEY_BITS = 24
_KEY_SHIFTS = (0, 20)
"""First bits of the two keys; they share the four lowest frequencies."""
_UNCERTAIN = 3
"""Bits of a key that are tried both ways: those of the weakest terms."""
_PART = 1 << 13
"""Photos that are hashed at a time."""
_MAX_HITS = 1 << 14
"""Most entries that are compared with one photo, so that thousands of equal photos take no more time."""
_GRID = ((1.0, 0.1, 7), (0.9, 0.05, 5), (1 / 0.9, 0.055, 5), (0.8, 0.0, 1), (1.25, 0.0, 1))
"""Scale of a window, largest shift of its centre, and number of shifts: along one axis, and combined for both."""


class Hits(NamedTuple):
    """Entries of an index whose hashes are close to that of a window; one row per photo, entry and closest window.

    Attributes:
        photos: int [H], photo that was looked up.
        entries: int [H], photo of the index.
        symmetries: int [H], index into ``SYMMETRIES`` of what turns the entry into the photo.
        negative: bool [H], whether the one is a negative of the other.
        windows: int [H], index into ``WINDOWS``.
        correlations: float32 [H], of the terms, -1 to 1.
    """

    photos: np.ndarray
    entries: np.ndarray
    symmetries: np.ndarray
    negative: np.ndarray
    windows: np.ndarray
    correlations: np.ndarray


def _spans() -> list[tuple[float, float]]:
    spans = [
        (0.5 + shift - REACH * scale, 0.5 + shift + REACH * scale)
        for scale, largest, count in _GRID
        for shift in np.linspace(-largest, largest, count).tolist()
    ]
    return sorted(spans, key=lambda span: abs(span[1] - span[0] - 2 * REACH) + abs(span[0] + span[1] - 1))


_SPANS = _spans()
WINDOWS = np.array([(*rows, *columns) for rows in _SPANS for columns in _SPANS], np.float32)
"""Windows of a photo, float32 [W, 4]: top, bottom, left, right as shares of its sides."""
CENTRE = np.array([0.5 - REACH, 0.5 + REACH] * 2, np.float32)
"""The central part, as a window."""


def interpolation(starts: np.ndarray, ends: np.ndarray, samples: int) -> np.ndarray:
    """Matrices that sample a line of a thumbnail between two points, linearly, float32 [N, samples, 32].

    Args:
        starts, ends: float [N], as shares of the side.
        samples: number of points.
    """
    steps = (np.arange(samples) + 0.5) / samples
    positions = (starts[:, None] + (ends - starts)[:, None] * steps) * SIDE - 0.5
    away = np.abs(np.clip(positions, 0, SIDE - 1)[:, :, None] - np.arange(SIDE))
    return np.asarray(np.maximum(1 - away, 0), np.float32)


def _basis(spans: Sequence[tuple[float, float]]) -> np.ndarray:
    """Cosines over each span of a line, float32 [len(spans) * 7, 32]."""
    starts, ends = np.array(spans).T
    steps = (np.arange(_SAMPLES) + 0.5) / _SAMPLES
    cosines = np.cos(np.arange(_TERMS)[:, None] * np.pi * steps) / _SAMPLES
    return np.asarray(cosines @ interpolation(starts, ends, _SAMPLES), np.float32).reshape(-1, SIDE)


def _frequencies() -> np.ndarray:
    """Frequencies along both axes in the order of the hash's bits, int [48, 2]: each key has low ones in its reach."""
    pairs = sorted(product(range(_TERMS), repeat=2), key=lambda pair: (pair[0] ** 2 + pair[1] ** 2, pair))[1:]
    return np.array(pairs[5:44:2] + pairs[:4] + pairs[4:44:2] + pairs[44:])


_ORDER = _frequencies()
_CENTRAL_BASIS, _WINDOW_BASIS = _basis([(0.5 - REACH, 0.5 + REACH)]), _basis(_SPANS)
_RADII = np.hypot(*_ORDER.T).astype(np.float32)
_ALL_BITS = np.uint64((1 << len(_ORDER)) - 1)
_SUBSETS = np.array(list(product((0, 1), repeat=_UNCERTAIN)))


def _turns() -> tuple[np.ndarray, np.ndarray]:
    """Places and signs of a turned photo's terms in those of the photo, for each of ``SYMMETRIES``, [8, 48] each.

    A transposed photo has its terms transposed; a mirror changes the sign of each odd one along its axis.
    """
    places = {tuple(pair): place for place, pair in enumerate(_ORDER.tolist())}
    swapped = np.array([places[column, row] for row, column in _ORDER.tolist()])
    orders = [swapped if transposed else np.arange(len(_ORDER)) for transposed, _, _ in SYMMETRIES]
    signs = [(-1.0) ** (_ORDER @ (vertical, horizontal)) for _, vertical, horizontal in SYMMETRIES]
    return np.stack(orders), np.stack(signs).astype(np.float32)


_TURN_ORDERS, _TURN_SIGNS = _turns()


class HashIndex:
    """Hashes of photos in all their symmetries, and as negatives.

    Args:
        thumbnails: uint8 [N, 32, 32].
        rows: int [M], the photos of the index.
    """

    def __init__(self, thumbnails: np.ndarray, rows: np.ndarray) -> None:
        self._photos = len(rows)
        # part by part: as floats, the thumbnails of a million photos take 4 GB
        self._terms = np.empty((len(rows), len(_ORDER)), np.float16)
        hashes = np.empty((len(SYMMETRIES), len(rows)), np.uint64)
        for start in range(0, len(rows), _PART):
            part = slice(start, start + _PART)
            terms = _central_terms(thumbnails[rows[part]])
            self._terms[part] = _normalized(terms)
            hashes[:, part] = _pack(terms[:, _TURN_ORDERS] * _TURN_SIGNS).T
        self._hashes = np.concatenate([hashes, hashes ^ _ALL_BITS]).ravel()
        # few entries need no long keys, whose tables would take a second to fill
        self._key_bits = min(_KEY_BITS, 9 + len(self._hashes).bit_length())
        self._tables = [_buckets(_key(self._hashes, shift, self._key_bits), self._key_bits) for shift in _KEY_SHIFTS]

    def lookup(self, thumbnails: np.ndarray) -> Hits:
        """Find entries that a window of a photo resembles.

        Args:
            thumbnails: uint8 [n, 32, 32]; some hundreds at a time bound the memory.
        """
        terms = _WINDOW_BASIS @ thumbnails.astype(np.float32) @ _WINDOW_BASIS.T
        terms = terms.reshape(-1, len(_SPANS), _TERMS, len(_SPANS), _TERMS).transpose(0, 1, 3, 2, 4)
        terms = _ordered(terms.reshape(len(thumbnails), -1, _TERMS, _TERMS))
        hashes, candidates = _pack(terms), []
        for shift, (starts, members) in zip(_KEY_SHIFTS, self._tables, strict=True):
            windows, entries = _members(_probes(hashes, terms, shift, self._key_bits), starts, members)
            bits = np.bitwise_count(hashes.ravel()[windows] ^ self._hashes[entries])
            near = bits <= MAX_BITS
            candidates.append(np.stack([windows[near], entries[near], bits[near]]))
        windows, entries, bits = np.concatenate(candidates, axis=1)
        photos, windows = np.divmod(windows, len(WINDOWS))
        order = np.lexsort((windows, bits, entries, photos))
        photos, entries, windows = (values[order] for values in (photos, entries, windows))
        first = np.r_[True, (np.diff(photos) != 0) | (np.diff(entries) != 0)][: len(photos)]
        turns, entries = np.divmod(entries[first], self._photos)
        negative, symmetries = np.divmod(turns, len(SYMMETRIES))
        hits = Hits(photos[first], entries, symmetries, negative.astype(bool), windows[first], np.empty(len(entries)))
        return hits._replace(correlations=self._correlations(terms, hits))

    def _correlations(self, terms: np.ndarray, hits: Hits) -> np.ndarray:
        """Correlation of the entries' terms with those of the windows [n, W, 48], float32 [H]."""
        correlations = np.empty(len(hits.photos), np.float32)
        for start in range(0, len(correlations), _PART):
            part = slice(start, start + _PART)
            turned = np.take_along_axis(self._terms[hits.entries[part]], _TURN_ORDERS[hits.symmetries[part]], axis=1)
            windows = _normalized(terms[hits.photos[part], hits.windows[part]])
            correlations[part] = np.einsum("hk,hk,hk->h", windows, turned, _TURN_SIGNS[hits.symmetries[part]])
        correlations[hits.negative] *= -1
        return correlations


def _central_terms(thumbnails: np.ndarray) -> np.ndarray:
    """Terms of the central parts of photos [n, 32, 32], float32 [n, 48]."""
    return _ordered(_CENTRAL_BASIS @ thumbnails.astype(np.float32) @ _CENTRAL_BASIS.T)


def _normalized(terms: np.ndarray) -> np.ndarray:
    """Terms [N, 48] of length one, after the fall of photos' spectra with the frequency is undone."""
    flat = terms * _RADII
    return np.asarray(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), np.finfo(np.float32).tiny))


def _ordered(terms: np.ndarray) -> np.ndarray:
    """Terms [..., 7, 7] in the order of the hash's bits, [..., 48]."""
    return terms[..., _ORDER[:, 0], _ORDER[:, 1]]


def _pack(terms: np.ndarray) -> np.ndarray:
    """Signs of terms [..., 48] as uint64 [...]."""
    packed = np.zeros((*terms.shape[:-1], 8), np.uint8)
    packed[..., :6] = np.packbits(terms > 0, axis=-1, bitorder="little")
    return np.asarray(packed.view("<u8")[..., 0])


def _key(hashes: np.ndarray, shift: int, bits: int) -> np.ndarray:
    return np.asarray((hashes >> np.uint64(shift)) & np.uint64((1 << bits) - 1), np.int64)


def _buckets(keys: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """First of the entries with each key, int32 [2^bits + 1], and all entries in order of their keys, int32 [N]."""
    starts = np.zeros((1 << bits) + 1, np.int32)
    np.cumsum(np.bincount(keys, minlength=1 << bits), out=starts[1:])
    return starts, np.argsort(keys, kind="stable").astype(np.int32)


def _probes(hashes: np.ndarray, terms: np.ndarray, shift: int, key_bits: int) -> np.ndarray:
    """Keys of each window with its uncertain bits both ways, int64 [n, W, 8]."""
    # spectra of photos fall with the frequency: a term is weak in relation to that
    strength = np.abs(terms[..., shift : shift + key_bits]) * _RADII[shift : shift + key_bits]
    weak = np.argpartition(strength, _UNCERTAIN, axis=-1)[..., :_UNCERTAIN]
    return np.asarray(_key(hashes, shift, key_bits)[..., None] ^ ((1 << weak) @ _SUBSETS.T))


def _members(keys: np.ndarray, starts: np.ndarray, members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Windows int64 [H] and entries int32 [H] with equal keys; of the many that one photo may have, the first."""
    first, counts = starts[keys], starts[keys + 1] - starts[keys]
    by_photo = counts.reshape(len(keys), -1).astype(np.int64)
    room = _MAX_HITS - (np.cumsum(by_photo, axis=1) - by_photo)
    counts = np.clip(by_photo, 0, np.maximum(room, 0)).ravel()
    ends = np.cumsum(counts)
    probes = np.repeat(np.arange(len(counts)), counts)
    positions = first.ravel()[probes] + np.arange(len(probes)) - (ends - counts)[probes]
    return probes // keys.shape[-1], members[positions]
