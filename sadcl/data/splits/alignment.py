"""Alignment of two photos: the window of the one that shows the other's central part, and how alike both are there.

Lucas and Kanade's method: Gauss-Newton steps on the four edges of the window. Similarity is the correlation of
the square roots of gradients: photos of similar brightness alone do not share them, and no single edge decides alone.
"""

import numpy as np

from sadcl.data.splits.cosine_hashes import interpolation

SIMILARITY = 0.72
"""Least similarity of look-alikes; unrelated photos reach it three times in a hundred million pairs."""

_SAMPLES = 24
"""Points along each side at which both photos are compared."""
_STEPS = (1, 3)
"""Steps before and after the pairs that are far from similar are left out."""
_HOPELESS = 0.4
"""Similarity after the first steps below which a pair is left out."""
_MAX_STEP = 0.06
"""Largest change of an edge in one step, as a share of the window."""
_NOISE = 0.5
"""Grey levels between neighbouring points that are no evidence."""


def align(photos: np.ndarray, parts: np.ndarray, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Refine a window of each photo until it shows the part.

    Args:
        photos: uint8 or float32 [N, 32, 32].
        parts: float32 [N, 24, 24], see ``sample``.
        windows: float32 [N, 4], initial windows.

    Returns:
        Windows, float32 [N, 4], and similarities, float32 [N]; 0 for a pair that was left out on the way.
    """
    photos, windows = photos.astype(np.float32), windows.astype(np.float32)
    similarities = np.zeros(len(photos), np.float32)
    rows = np.arange(len(photos))
    for steps in _STEPS:
        for _ in range(steps):
            windows[rows] += _step(sample(photos[rows], windows[rows]), parts[rows], windows[rows])
        current = similarity(sample(photos[rows], windows[rows]), parts[rows])
        similarities[rows], promising = 0, current >= _HOPELESS
        rows = rows[promising]
        similarities[rows] = current[promising]
    return windows, similarities


def sample(photos: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Sample a window of each photo, float32 [N, 24, 24]."""
    top, bottom, left, right = windows.T
    rows, columns = interpolation(top, bottom, _SAMPLES), interpolation(left, right, _SAMPLES)
    return np.asarray(rows @ photos @ columns.swapaxes(1, 2))


def similarity(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Correlation of the gradients' roots of samples [N, 24, 24], float [N], -1 to 1; flat ones have about 0."""
    a, b = _gradients(first), _gradients(second)
    products = a * b
    common = (np.sign(products) * np.sqrt(np.abs(products))).mean(axis=1)
    return np.asarray(common / np.sqrt((np.abs(a).mean(axis=1) + _NOISE) * (np.abs(b).mean(axis=1) + _NOISE)))


def _gradients(samples: np.ndarray) -> np.ndarray:
    inner = samples[:, :-1, :-1]
    return np.concatenate([samples[:, 1:, :-1] - inner, samples[:, :-1, 1:] - inner], axis=1).reshape(
        -1, 2 * (_SAMPLES - 1) ** 2
    )


def _step(samples: np.ndarray, parts: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Change of the four edges that brings the samples closest to the parts, to first order, [N, 4]."""
    samples, parts = _standardised(samples), _standardised(parts)
    down, across = np.gradient(samples, axis=1) * _SAMPLES, np.gradient(samples, axis=2) * _SAMPLES
    steps = ((np.arange(_SAMPLES) + 0.5) / _SAMPLES).astype(np.float32)
    moves = [down * (1 - steps[:, None]), down * steps[:, None], across * (1 - steps), across * steps]
    jacobian = np.stack(moves, axis=1).reshape(-1, 4, _SAMPLES**2)
    jacobian -= jacobian.mean(axis=2, keepdims=True)
    normal = jacobian @ jacobian.swapaxes(1, 2)
    damping = 1e-3 * (1 + np.trace(normal, axis1=1, axis2=2))
    error = (parts - samples).reshape(-1, _SAMPLES**2, 1)
    change = np.linalg.solve(normal + damping[:, None, None] * np.eye(4, dtype=np.float32), jacobian @ error)[..., 0]
    height, width = windows[:, 1] - windows[:, 0], windows[:, 3] - windows[:, 2]
    return np.asarray(np.clip(change, -_MAX_STEP, _MAX_STEP) * np.stack([height, height, width, width], axis=1))


def _standardised(samples: np.ndarray) -> np.ndarray:
    centred = samples - samples.mean(axis=(1, 2), keepdims=True)
    return np.asarray(centred / (centred.std(axis=(1, 2), keepdims=True) + 1e-3))
