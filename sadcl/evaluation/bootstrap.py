"""How far a figure would move with other photos of the same kind: the bootstrap over images."""

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def multiplicities(photos: int, draws: int, seed: int) -> NDArray[np.int64]:
    """How often each photo stands in each resample [draws, photos]; the same arguments give the same resamples."""
    return np.random.default_rng(seed).multinomial(photos, np.full(photos, 1 / photos), size=draws)


def resampled_map(
    scores: FloatArray,
    targets: NDArray[np.bool_],
    counts: NDArray[np.int64],
    ignored: NDArray[np.bool_] | None = None,
) -> FloatArray:
    """mAP on resamples of the photos, exactly as ``evaluate`` would find it on the repeated rows.

    Each class is sorted once for all resamples. Copies of a photo follow one another, so that only the last of them
    can be the best precision to their right.

    Args:
        scores: [N, C]; only their order counts.
        targets: [N, C] bool.
        counts: [R, N], how often each photo is drawn.
        ignored: [N, C] bool, entries that take no part.

    Returns:
        [R], percent; NaN where a resample holds no positive of any class.
    """
    ap = np.full((targets.shape[1], len(counts)), np.nan)
    for j, (score, target) in enumerate(zip(scores.T, targets.T, strict=True)):
        rows = np.arange(len(score)) if ignored is None else np.flatnonzero(~ignored[:, j])
        order = rows[np.argsort(-score[rows], kind="stable")]
        hits = np.flatnonzero(target[order])
        drawn = counts[:, order]
        copies, rank = drawn[:, hits], np.cumsum(drawn, axis=1)[:, hits]
        precision = np.cumsum(copies, axis=1) / np.maximum(rank, 1)
        never_rising = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        total = copies.sum(axis=1)
        some = total > 0
        ap[j, some] = (copies * never_rising).sum(axis=1)[some] / total[some]
    known = ~np.isnan(ap)
    count = known.sum(axis=0)
    sums = np.where(known, ap, 0).sum(axis=0)
    found: FloatArray = np.divide(100 * sums, count, out=np.full(len(counts), np.nan), where=count > 0)
    return found
