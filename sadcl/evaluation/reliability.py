"""Reliability of scores: reliability diagram and expected calibration error (ECE)."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sadcl.errors import SadclError

FloatArray = NDArray[np.float64]

BINS = 15
"""Number of bins of equal width over 0 to 1, as usual in the literature (Guo et al. 2017)."""


def reliability(scores: ArrayLike, targets: ArrayLike, ignored: ArrayLike | None = None) -> list[dict[str, float]]:
    """Compute the reliability diagram: mean score and share of present labels in each bin, all classes together.

    Args:
        scores: probabilities [N, C].
        targets: [N, C], present or absent.
        ignored: [N, C], entries to leave out.

    Returns:
        Rows of score and present (percent), and labels (scores in the bin); none for an empty bin.

    Raises:
        SadclError: shapes differ.
    """
    score, target, known, bins = _binned(scores, targets, ignored)
    count, total, present = (
        np.bincount(bins[known], weights, BINS) for weights in (None, score[known], target[known].astype(float))
    )
    return [
        {"score": 100 * total[b] / count[b], "present": 100 * present[b] / count[b], "labels": int(count[b])}
        for b in np.flatnonzero(count)
    ]


def excess(
    scores: ArrayLike, targets: ArrayLike, ignored: ArrayLike | None = None
) -> tuple[FloatArray, NDArray[np.int64]]:
    """Sum each photo's scores less its present labels in each bin [N, BINS], and count its labels [N].

    ECE is additive over photos before the absolute value, so the bootstrap needs these sums alone.

    Args:
        scores: probabilities [N, C].
        targets: [N, C], present or absent.
        ignored: [N, C], entries to leave out.

    Raises:
        SadclError: shapes differ.
    """
    score, target, known, bins = _binned(scores, targets, ignored)
    sums = np.zeros((len(score), BINS))
    rows, _ = np.nonzero(known)
    np.add.at(sums, (rows, bins[known]), (score - target)[known])
    return sums, known.sum(axis=1)


def expected_calibration_error(scores: ArrayLike, targets: ArrayLike, ignored: ArrayLike | None = None) -> float:
    """Compute the expected calibration error: mean distance between a bin's scores and its share of present labels.

    Args:
        scores: probabilities [N, C].
        targets: [N, C], present or absent.
        ignored: [N, C], entries to leave out.

    Returns:
        Percent; NaN without any label.

    Raises:
        SadclError: shapes differ.
    """
    sums, labels = excess(scores, targets, ignored)
    return float(100 * np.abs(sums.sum(axis=0)).sum() / labels.sum()) if labels.any() else float("nan")


def _binned(
    scores: ArrayLike, targets: ArrayLike, ignored: ArrayLike | None
) -> tuple[FloatArray, NDArray[np.bool_], NDArray[np.bool_], NDArray[np.int64]]:
    score, target = np.asarray(scores, dtype=float), np.asarray(targets, dtype=bool)
    known = np.ones(target.shape, dtype=bool) if ignored is None else ~np.asarray(ignored, dtype=bool)
    if score.ndim != 2 or not score.shape == target.shape == known.shape:
        raise SadclError(f"The arrays must have one shape [N, C]: {score.shape}, {target.shape}, {known.shape}")
    return score, target, known, np.minimum((score * BINS).astype(np.int64), BINS - 1)
