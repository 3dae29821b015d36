"""Bootstrap over images: how far metrics would move with other photos of the same kind."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sadcl.evaluation import metrics, reliability
from sadcl.evaluation.blocks import row_blocks

if TYPE_CHECKING:
    from scipy.sparse import csr_array

FloatArray = NDArray[np.float64]
Counts = NDArray[np.uint8]
"""[N, R]: how often each photo occurs in each resample; 256 times has a probability of less than 1e-500."""
Progress = Callable[[range], Iterable[int]]
"""Wraps a loop over classes, to show how far it is."""

AP_BIAS = 1.75
"""Bias of AP as a multiple of the bias that resamples show; from simulation (``benchmarks/coverage.py``)."""
ECE_BIAS = 0.0
"""No correction: the ECE of few photos is biased upward, which keeps the interval's upper end on the safe side."""
AP_BLOCK = 32
"""Resamples of a class that are transposed at a time."""
AP_ENTRIES = 32_768
"""Positives times resamples at a time: their running sums and precisions then fit into a processor's cache."""
BLOCK_COUNTS = 128_000_000
"""Most bytes of counts or sums at a time; a product with some of the resamples alone copies their counts."""


class Resampled(NamedTuple):
    """Metrics on resamples of the photos, in percent.

    Attributes:
        figures: metrics by name (mAP, CP ... OF1, the top-3 ones as ``top3.CP``, ``in_use.CP``, ECE), [R].
        ap: [C, R]; NaN where a resample has no positive of a class.
    """

    figures: dict[str, FloatArray]
    ap: FloatArray


class Interval(NamedTuple):
    """A metric and its 95 % interval."""

    value: float
    low: float
    high: float


def multiplicities(photos: int, draws: int, seed: int) -> Counts:
    """Draw how often each photo occurs in each resample [photos, draws]; equal arguments give equal resamples."""
    rng, share = np.random.default_rng(seed), np.full(photos, 1 / photos)
    counts = np.empty((photos, draws), np.uint8)
    # numpy draws 64-bit integers, eight times the size of the counts
    for block in _draw_blocks(8 * photos, draws):
        counts[:, block] = rng.multinomial(photos, share, size=block.stop - block.start).T
    return counts


def _draw_blocks(rows: int, draws: int) -> Iterator[slice]:
    """Split resamples into blocks of bounded memory, each with ``rows`` bytes a resample."""
    size = max(1, BLOCK_COUNTS // max(rows, 1))
    return (slice(first, min(first + size, draws)) for first in range(0, draws, size))


def resampled(
    scores: FloatArray,
    targets: NDArray[np.bool_],
    counts: Counts,
    ignored: NDArray[np.bool_] | None = None,
    threshold: float = 0.5,
    in_use: tuple[FloatArray, NDArray[np.bool_]] | None = None,
    progress: Progress = iter,
) -> Resampled:
    """Compute all metrics on resamples of the photos, equal to those of ``evaluate`` on repeated rows.

    Args:
        scores: probabilities [N, C].
        targets: [N, C].
        counts: [N, R], how often each photo is drawn.
        ignored: [N, C], entries to leave out.
        threshold: of precision, recall and F1, in 0 to 1.
        in_use: calibrated probabilities and predicted labels [N, C], where they differ from ``scores`` and
            ``threshold``; ECE and the metrics named ``in_use.CP`` and so on are computed from them.
        progress: wraps the loop over classes.
    """
    known = np.ones(targets.shape, bool) if ignored is None else ~ignored
    present, predicted = targets & known, (scores > threshold) & known
    probabilities, in_use_labels = (scores, predicted) if in_use is None else (in_use[0], in_use[1] & known)
    best = predicted.copy()
    for rows in row_blocks(*scores.shape):
        # -1 is below every probability: an ignored entry takes no place among the best three
        best[rows] &= metrics.best(np.where(known[rows], scores[rows], -1), metrics.TOP)
    labels = {"": predicted, "top3.": best, "in_use.": in_use_labels}
    parts = (part for chosen in labels.values() for part in (chosen & present, chosen))
    positives, *sums = _sums(counts, present, *parts)
    figures = {
        prefix + name: value
        for prefix, right, predictions in zip(labels, sums[::2], sums[1::2], strict=True)
        for name, value in metrics.count_metrics(right, predictions, positives).items()
    }
    ap = resampled_ap(scores, targets, counts, ignored, progress)
    error = resampled_ece(probabilities, targets, counts, ignored)
    return Resampled({"mAP": mean_known(ap), **figures, "ECE": error}, ap)


def resampled_map(
    scores: FloatArray,
    targets: NDArray[np.bool_],
    counts: Counts,
    ignored: NDArray[np.bool_] | None = None,
    progress: Progress = iter,
) -> FloatArray:
    """Compute mAP alone on resamples of the photos [R], percent; NaN where a resample has no positive of any class.

    Args:
        scores: [N, C]; only their order counts.
        targets: [N, C].
        counts: [N, R], how often each photo is drawn.
        ignored: [N, C], entries to leave out.
        progress: wraps the loop over classes.
    """
    return mean_known(resampled_ap(scores, targets, counts, ignored, progress))


def resampled_ap(
    scores: FloatArray,
    targets: NDArray[np.bool_],
    counts: Counts,
    ignored: NDArray[np.bool_] | None = None,
    progress: Progress = iter,
) -> FloatArray:
    """Compute AP of each class on resamples of the photos.

    Each class is sorted once for all resamples. Copies of a photo are neighbours in the ranking, so only the precision
    at the last copy counts; and ranks are needed at positives only, so that sums of counts between positives take the
    place of counts. Counts are bytes, and added as bytes where the sum can't exceed 255: a processor adds many at once.

    Args:
        scores: [N, C]; only their order counts.
        targets: [N, C].
        counts: [N, R], how often each photo is drawn.
        ignored: [N, C], entries to leave out.
        progress: wraps the loop over classes.

    Returns:
        [C, R], percent; NaN where a resample has no positive of the class.
    """
    ap = np.full((targets.shape[1], counts.shape[1]), np.nan)
    # photos whose counts add up to less than 256 in any resample
    most = 255 // max(int(counts.max(initial=1)), 1)
    for j in progress(range(len(ap))):
        rows = np.arange(len(scores)) if ignored is None else np.flatnonzero(~ignored[:, j])
        # stable: equal scores keep the order of the images, as in `metrics.average_precision`
        order = rows[np.argsort(-scores[rows, j], kind="stable")]
        hits = np.flatnonzero(targets[order, j])
        if len(hits):
            # photos ranked below the last positive change no precision at a positive
            runs, ends = _runs(order[: hits[-1] + 1], hits, most, len(counts))
            for part in _draw_blocks(runs.shape[0], counts.shape[1]):
                drawn, copies = runs @ counts[:, part], counts[order[hits], part]
                for first in range(0, drawn.shape[1], AP_BLOCK):
                    block = slice(first, first + AP_BLOCK)
                    # running sums take a quarter of the time along neighbours in memory
                    block_copies, sums = (np.ascontiguousarray(each[:, block].T) for each in (copies, drawn))
                    ap[j, part][block] = _ap(block_copies, sums, ends)
    return ap


def _runs(
    order: NDArray[np.int64], hits: NDArray[np.int64], most: int, photos: int
) -> "tuple[csr_array, NDArray[np.int64]]":
    """Build the matrix that adds up the counts of the photos from each positive's predecessor to itself, in bytes.

    Args:
        order: photos by rank, down to the last positive.
        hits: ranks of the positives.
        most: photos of a sum, which may not exceed 255; a longer run has several sums.
        photos: their number N.

    Returns:
        Matrix of ones, uint8 [S, N], and the last sum of each positive's run [P].
    """
    from scipy.sparse import csr_array  # a tenth of a second that readers of stored intervals need not spend

    lengths = np.diff(hits, prepend=-1)
    parts = -(-lengths // most)
    ends = parts.cumsum() - 1
    # a sum ends `most` photos before the next one of its run; the first one has what remains
    left = ends.repeat(parts) - np.arange(parts.sum())
    edges = np.append(0, hits.repeat(parts) + 1 - left * most)
    return csr_array((np.ones(len(order), np.uint8), order, edges), shape=(len(left), photos)), ends


def _ap(copies: Counts, sums: Counts, ends: NDArray[np.int64]) -> FloatArray:
    """Compute AP of one class on resamples [R].

    Args:
        copies: how often each positive is drawn [R, P].
        sums: how often the photos of each sum of ``_runs`` are drawn [R, S].
        ends: last sum of each positive's run [P].
    """
    ap = np.empty(len(copies))
    step = max(1, AP_ENTRIES // len(ends))
    for rows in (slice(first, first + step) for first in range(0, len(copies), step)):
        hits = copies[rows].cumsum(axis=1, dtype=np.int32)
        rank = sums[rows].cumsum(axis=1, dtype=np.int32)[:, ends]  # of the last copy of each positive
        # rank 0: neither this positive nor a photo above it was drawn; its weight below is 0
        precision = hits / np.maximum(rank, 1)
        never_rising = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        # equation (9) of docs/explanation/method.md: each copy of a positive is one step of recall
        ap[rows] = _divided(100 * (copies[rows] * never_rising).sum(axis=1), hits[:, -1])
    return ap


def resampled_ece(
    scores: FloatArray, targets: NDArray[np.bool_], counts: Counts, ignored: NDArray[np.bool_] | None = None
) -> FloatArray:
    """Compute ECE alone on resamples of the photos [R], percent.

    Args:
        scores: probabilities [N, C].
        targets: [N, C].
        counts: [N, R], how often each photo is drawn.
        ignored: [N, C], entries to leave out.
    """
    sums, labels = reliability.excess(scores, targets, ignored)
    errors, wholes = _sums(counts, sums, labels[:, None])
    return _divided(100 * np.abs(errors).sum(axis=1), wholes[:, 0])


def _sums(counts: Counts, *parts: NDArray[Any]) -> list[FloatArray]:
    """Sum each part [N, C] over the photos of each resample [R, C]."""
    sums = [np.zeros((counts.shape[1], part.shape[1])) for part in parts]
    for rows in row_blocks(*counts.shape):
        drawn = counts[rows].T.astype(np.float32)
        for total, part in zip(sums, parts, strict=True):
            total += drawn @ part[rows].astype(np.float32)  # a block's sums of 0 and 1 are exact in float32
    return sums


def mean_known(ap: FloatArray) -> FloatArray:
    """Mean over the classes with an AP, [C, R] to [R]."""
    known = ~np.isnan(ap)
    return _divided(np.where(known, ap, 0).sum(axis=0), known.sum(axis=0))


def _divided(part: FloatArray, whole: NDArray[Any]) -> FloatArray:
    """Divide; NaN where ``whole`` is 0."""
    share: FloatArray = np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)
    return share


def interval(value: float, draws: FloatArray, bias: float = 1.0, wider: float = 1.0) -> Interval:
    """Compute the basic bootstrap's 95 % interval: resamples scatter about the metric as it does about the truth.

    Args:
        value: the metric on the photos themselves.
        draws: the metric on resamples [R]; NaNs are left out.
        bias: how many times the resamples' mean difference from the metric is subtracted from it.
        wider: a factor of the distance from the centre to both ends.
    """
    if not np.isfinite(draws).any():
        return Interval(value, np.nan, np.nan)
    # equation (1) of docs/explanation/gate.md: the upper quantile gives the lower end, and the lower one the upper
    mean, (low, high) = float(np.nanmean(draws)), np.nanquantile(draws, [0.025, 0.975])
    centre = value - bias * (mean - value)
    return Interval(value, centre - wider * (float(high) - mean), centre + wider * (mean - float(low)))


def ap_interval(value: float, draws: FloatArray, positives: NDArray[np.int64]) -> Interval:
    """Compute the basic bootstrap's 95 % interval of AP, of its mean over classes, or of a difference of either.

    AP of few photos is biased upward. That of a resample, with still fewer different photos, is higher again, but by
    less than the bias of AP itself; and with few positives resamples vary too little. Both corrections come from
    simulation (``benchmarks/coverage.py`` measures the result): the bias that resamples show times 1.75, and ends
    farther from the centre by a share of 5 / positives. The percentile interval would add the bias once more.

    Args:
        value: the metric on the photos themselves.
        draws: the metric on resamples [R].
        positives: number of photos with each class [C]; classes without any are left out.
    """
    return interval(value, draws, AP_BIAS, float(interval_width_factor(typical(positives))))


def typical(positives: NDArray[np.int64]) -> float:
    """Effective number of positives behind a mean over classes [C]: the harmonic mean of the positive ones."""
    # the factor is linear in 1 / P, and the mean of 1 / P over classes is 1 / their harmonic mean
    some = positives[positives > 0]
    return float(len(some) / (1 / some).sum()) if len(some) else np.inf


def interval_width_factor(positives: Any) -> Any:
    """Factor by which the interval of an AP with so many positives is wider than its resamples suggest."""
    return 1 + 5 / positives
