"""How far a figure would move with other photos of the same kind: the bootstrap over images."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from sadcl.evaluation import metrics, reliability
from sadcl.progress import track

FloatArray = NDArray[np.float64]
Counts = NDArray[np.uint16]
"""[N, R]: how often each photo stands in each resample."""

SHOWN = 1.96 + 0.84
"""Standard errors between zero and a difference that is found four times in five."""
AP_BIAS = 1.75
"""How many times the bias of AP is that which resamples show; by simulation."""
ECE_BIAS = 0.0
"""The error of few photos is too large, so its upper end is right without a correction, and safer."""
BLOCK = 250
"""Resamples at a time: what they need of one class then fits into a processor's cache."""


class Resampled(NamedTuple):
    """Figures on resamples of the photos, in percent.

    Attributes:
        figures: by name (mAP, CP ... OF1, the top-3 ones as ``top3.CP``, ``in_use.CP``, ECE), [R].
        ap: [C, R]; NaN where a resample has no positive of a class.
    """

    figures: dict[str, FloatArray]
    ap: FloatArray


class Interval(NamedTuple):
    """A figure, and the 95 % interval about it."""

    value: float
    low: float
    high: float


def multiplicities(photos: int, draws: int, seed: int) -> Counts:
    """How often each photo stands in each resample [photos, draws]; the same arguments give the same resamples."""
    rng, share = np.random.default_rng(seed), np.full(photos, 1 / photos)
    counts = np.empty((photos, draws), np.uint16)
    for first in range(0, draws, BLOCK):
        some = counts[:, first : first + BLOCK]
        some[:] = rng.multinomial(photos, share, size=some.shape[1]).T
    return counts


def resampled(
    scores: FloatArray,
    targets: NDArray[np.bool_],
    counts: Counts,
    ignored: NDArray[np.bool_] | None = None,
    threshold: float = 0.5,
    in_use: tuple[FloatArray, NDArray[np.bool_]] | None = None,
) -> Resampled:
    """All figures on resamples of the photos, exactly as ``evaluate`` would find them on the repeated rows.

    Args:
        scores: probabilities [N, C].
        targets: [N, C].
        counts: [N, R], how often each photo is drawn.
        ignored: [N, C], entries that take no part.
        threshold: of the figures that need one.
        in_use: calibrated probabilities and the labels that are given [N, C], where they differ from the above; ECE
            and the figures named ``in_use.CP`` and so on are theirs.
    """
    known = np.ones(targets.shape, bool) if ignored is None else ~ignored
    there, said = targets & known, (scores > threshold) & known
    probable, given = (scores, said) if in_use is None else (in_use[0], in_use[1] & known)
    whole = _sums(there, counts)

    def of(labels: NDArray[np.bool_], prefix: str = "") -> dict[str, FloatArray]:
        figures = metrics.of_counts(_sums(labels & there, counts), _sums(labels, counts), whole)
        return {prefix + name: value for name, value in figures.items()}

    best = said & metrics.best(np.where(known, scores, -1), metrics.TOP)
    ap = resampled_ap(scores, targets, counts, ignored)
    error = resampled_ece(probable, targets, counts, ignored)
    figures = {**of(said), **of(best, "top3."), **of(given, "in_use.")}
    return Resampled({"mAP": _mean_known(ap), **figures, "ECE": error}, ap)


def resampled_map(
    scores: FloatArray, targets: NDArray[np.bool_], counts: Counts, ignored: NDArray[np.bool_] | None = None
) -> FloatArray:
    """mAP alone on resamples of the photos [R], percent; NaN where a resample holds no positive of any class."""
    return _mean_known(resampled_ap(scores, targets, counts, ignored))


def resampled_ap(
    scores: FloatArray, targets: NDArray[np.bool_], counts: Counts, ignored: NDArray[np.bool_] | None = None
) -> FloatArray:
    """AP of each class on resamples of the photos.

    Each class is sorted once for all resamples. Copies of a photo follow one another, so that only the last of them
    can be the best precision to their right; and only at the positives does a rank have to be known.

    Args:
        scores: [N, C]; only their order counts.
        targets: [N, C].
        counts: [N, R], how often each photo is drawn.
        ignored: [N, C], entries that take no part.

    Returns:
        [C, R], percent; NaN where a resample has no positive of the class.
    """
    ap = np.full((targets.shape[1], counts.shape[1]), np.nan)
    for j in track(range(len(ap)), "classes resampled", total=len(ap), unit="classes"):
        rows = np.arange(len(scores)) if ignored is None else np.flatnonzero(~ignored[:, j])
        order = rows[np.argsort(-scores[rows, j], kind="stable")]
        hits = np.flatnonzero(targets[order, j])
        if len(hits):
            before = np.concatenate([[0], hits[:-1] + 1])  # where the photos begin that lie before each positive
            for first in range(0, counts.shape[1], BLOCK):
                drawn = counts[order[: hits[-1] + 1], first : first + BLOCK]
                rank = np.add.reduceat(drawn, before, axis=0, dtype=np.int32).cumsum(axis=0, dtype=np.int32)
                ap[j, first : first + BLOCK] = _ap(drawn[hits], rank)
    return ap


def _ap(copies: Counts, rank: NDArray[np.int32]) -> FloatArray:
    """AP of one class on R resamples, from how often each positive is drawn and the rank of its last copy [P, R]."""
    found = copies.cumsum(axis=0, dtype=np.int32)
    precision = found / np.maximum(rank, 1)
    never_rising = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    return _divided(100 * (copies * never_rising).sum(axis=0), found[-1])


def resampled_ece(
    scores: FloatArray, targets: NDArray[np.bool_], counts: Counts, ignored: NDArray[np.bool_] | None = None
) -> FloatArray:
    """ECE alone on resamples of the photos [R], percent."""
    sums, labels = reliability.excess(scores, targets, ignored)
    error, whole = np.abs(_sums(sums, counts)).sum(axis=1), _sums(labels[:, None], counts)[:, 0]
    return _divided(100 * error, whole)


def _sums(part: NDArray[Any], counts: Counts) -> FloatArray:
    """[R, C], the sum of ``part`` [N, C] over the photos of each resample; float32 is exact to 16 million photos."""
    blocks = range(0, counts.shape[1], BLOCK)
    whole = part.astype(np.float32)
    return np.concatenate([counts[:, first : first + BLOCK].T.astype(np.float32) @ whole for first in blocks]).astype(
        float
    )


def _mean_known(ap: FloatArray) -> FloatArray:
    """[C, R] to [R], over the classes that have an AP."""
    known = ~np.isnan(ap)
    return _divided(np.where(known, ap, 0).sum(axis=0), known.sum(axis=0))


def _divided(part: FloatArray, whole: NDArray[Any]) -> FloatArray:
    """part / whole, and NaN where the whole is 0."""
    share: FloatArray = np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)
    return share


def interval(value: float, draws: FloatArray, bias: float = 1.0, wider: float = 1.0) -> Interval:
    """The basic bootstrap's 95 % interval: resamples lie about the figure as the figure lies about the truth.

    Args:
        value: the figure on the photos themselves.
        draws: on resamples of them [R]; those that are NaN count for nothing.
        bias: how many times the resamples' mean distance from the figure is taken off it.
        wider: a factor of both arms.
    """
    if not np.isfinite(draws).any():
        return Interval(value, np.nan, np.nan)
    mean, (low, high) = float(np.nanmean(draws)), np.nanquantile(draws, [0.025, 0.975])
    centre = value - bias * (mean - value)
    return Interval(value, centre - wider * (float(high) - mean), centre + wider * (mean - float(low)))


def ap_interval(value: float, draws: FloatArray, positives: NDArray[np.int64]) -> Interval:
    """The same for AP, its mean over classes, or a difference of either.

    AP of few photos lies too high, and that of a resample, which holds still fewer different ones, higher again, but
    by less than the figure itself; and with few positives resamples vary too little. Both corrections are from
    simulation (``benchmarks/coverage.py`` shows what they give): the bias that resamples show times 1.75, and
    arms wider by 5 / positives. The percentile interval would add the bias once more.

    Args:
        value: the figure on the photos themselves.
        draws: on resamples of them [R].
        positives: photos that show each class [C]; those without count for nothing.
    """
    return interval(value, draws, AP_BIAS, float(interval_width_factor(typical(positives))))


def typical(positives: NDArray[np.int64]) -> float:
    """Positives of a class, for the noise of a mean over all [C]: the harmonic mean of those that have any."""
    some = positives[positives > 0]
    return float(len(some) / (1 / some).sum()) if len(some) else np.inf


def interval_width_factor(positives: Any) -> Any:
    """How much wider than the resamples' the interval of an AP with so many positives has to be."""
    return 1 + 5 / positives


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
