"""Reliability of scores: reliability diagram and expected calibration error (ECE)."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sadcl.errors import SadclError
from sadcl.evaluation.blocks import row_blocks

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
    count, total, present = np.zeros((3, BINS))
    for _, score, target, known, bins in _binned(scores, targets, ignored):
        count += np.bincount(bins[known], minlength=BINS)
        total += np.bincount(bins[known], score[known], BINS)
        present += np.bincount(bins[known], target[known].astype(float), BINS)
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
    photos = len(np.asarray(targets))
    sums, labels = np.zeros((photos, BINS)), np.zeros(photos, np.int64)
    for block, score, target, known, bins in _binned(scores, targets, ignored):
        # a photo's bins are numbered one after the other, so that one flat count has all sums
        cells = np.arange(len(score))[:, None] * BINS + bins
        flat = np.bincount(cells[known], (score - target)[known], len(score) * BINS)
        sums[block], labels[block] = flat.reshape(-1, BINS), known.sum(axis=1)
    return sums, labels


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
) -> Iterator[tuple[slice, FloatArray, NDArray[np.bool_], NDArray[np.bool_], NDArray[np.int64]]]:
    """Iterate over blocks of rows: the rows, scores, targets, known entries and bins."""
    score, target = np.asarray(scores), np.asarray(targets, dtype=bool)
    left_out = np.zeros(target.shape, dtype=bool) if ignored is None else np.asarray(ignored, dtype=bool)
    if score.ndim != 2 or not score.shape == target.shape == left_out.shape:
        raise SadclError(f"The arrays must have one shape [N, C]: {score.shape}, {target.shape}, {left_out.shape}")
    for rows in row_blocks(*score.shape):
        part = score[rows].astype(float)
        # a score of 1 belongs to the last bin
        yield rows, part, target[rows], ~left_out[rows], np.minimum((part * BINS).astype(np.int64), BINS - 1)
