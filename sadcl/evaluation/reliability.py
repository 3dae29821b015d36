"""Whether a score of 70 % means a label that is there in 70 of 100 cases."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sadcl.errors import SadclError

FloatArray = NDArray[np.float64]

BINS = 15
"""Of equal width over 0 to 1, the literature's usual number (Guo et al. 2017)."""


def reliability(scores: ArrayLike, targets: ArrayLike, ignored: ArrayLike | None = None) -> list[dict[str, float]]:
    """Mean score and share of labels that are present, all labels together, by bins of the score.

    Args:
        scores: probabilities [N, C].
        targets: [N, C], present or absent.
        ignored: [N, C], entries to leave out.

    Returns:
        Rows of score and present (percent), and labels (how many scores fell there); none for an empty bin.

    Raises:
        SadclError: shapes differ.
    """
    score, target, known, place = _binned(scores, targets, ignored)
    count, said, there = (
        np.bincount(place[known], weights, BINS) for weights in (None, score[known], target[known].astype(float))
    )
    return [
        {"score": 100 * said[b] / count[b], "present": 100 * there[b] / count[b], "labels": int(count[b])}
        for b in np.flatnonzero(count)
    ]


def excess(
    scores: ArrayLike, targets: ArrayLike, ignored: ArrayLike | None = None
) -> tuple[FloatArray, NDArray[np.int64]]:
    """What each photo adds to the error of each bin [N, BINS]: its scores less its present labels; and its labels [N].

    Raises:
        SadclError: shapes differ.
    """
    score, target, known, place = _binned(scores, targets, ignored)
    sums = np.zeros((len(score), BINS))
    rows, _ = np.nonzero(known)
    np.add.at(sums, (rows, place[known]), (score - target)[known])
    return sums, known.sum(axis=1)


def expected_calibration_error(scores: ArrayLike, targets: ArrayLike, ignored: ArrayLike | None = None) -> float:
    """How far scores lie from the share of labels that are present, the mean over all labels (ECE).

    Args:
        scores: probabilities [N, C].
        targets: [N, C], present or absent.
        ignored: [N, C], entries to leave out.

    Returns:
        Percent; NaN where there is no label at all.

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
