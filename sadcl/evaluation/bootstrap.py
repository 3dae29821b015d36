"""How far a figure would move with other photos of the same kind: the bootstrap over images."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

FloatArray = NDArray[np.float64]

SHOWN = 1.96 + 0.84
"""Standard errors between zero and a difference that is found four times in five."""


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


class Paired(NamedTuple):
    """How much more one model scores than another, seed by seed and photo by photo, in percentage points.

    Attributes:
        difference: mean over the seeds.
        low, high: 95 % interval over photos and seeds.
        error: standard error over both.
        shows: the smallest true difference that such a comparison finds four times in five (5 % two-sided).
    """

    difference: float
    low: float
    high: float
    error: float
    shows: float


def paired(ours: FloatArray, theirs: FloatArray, found: FloatArray, seed: int = 0, draws: int = 10_000) -> Paired:
    """Bootstrap of a difference over photos and seeds at once.

    Each draw takes a resample of the photos, the same for both sides, and as many seeds as there are, with repetition.
    A few seeds drawn from themselves vary too little, by (S - 1) / S and by what Student's t is wider than the normal
    distribution; both are made up for. The interval is the basic one: resampled mAP is biased upward, and turning the
    draws over takes twice that off. One seed says nothing of others: the interval is then over photos alone.

    Args:
        ours, theirs: [S, R], mAP of each seed on each resample of the photos; row s of both has the same seed.
        found: [S], mAP of ours less that of theirs, on the photos themselves.
        seed: of the draws.
        draws: how many.
    """
    rng, (S, R) = np.random.default_rng(seed), ours.shape
    seeds, photos = rng.integers(S, size=(draws, S)), rng.integers(R, size=draws)
    wider = np.sqrt(S / (S - 1)) * student.ppf(0.975, S - 1) / student.ppf(0.975, np.inf) if S > 1 else 1.0
    drawn = (ours - theirs).mean(axis=0)[photos] + wider * (found - found.mean())[seeds].mean(axis=1)
    difference, (low, high) = float(found.mean()), np.quantile(drawn, [0.025, 0.975])
    error = float(drawn.std(ddof=1))
    return Paired(difference, 2 * difference - float(high), 2 * difference - float(low), error, SHOWN * error)
