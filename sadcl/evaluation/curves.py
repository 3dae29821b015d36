"""Tables for plots: precision-recall curve, metrics of each class, reliability."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sadcl import files
from sadcl.errors import SadclError
from sadcl.evaluation import reliability
from sadcl.evaluation.blocks import row_blocks
from sadcl.evaluation.scores import Scores

POINTS = 200
"""Most points of a curve."""


def precision_recall(scores: ArrayLike, targets: ArrayLike, ignored: ArrayLike | None = None) -> list[dict[str, float]]:
    """Compute the precision-recall curve of all labels together (micro), as measured, without interpolation.

    The points are spread evenly over recall; the last covers the whole ranking.

    Args:
        scores: [N, C], or [N] of one class.
        targets: present or absent, of the same shape.
        ignored: entries to leave out, of the same shape.

    Returns:
        Rows of threshold (lowest score above the cut), recall and precision (percent); none without positives.

    Raises:
        SadclError: shapes differ.
    """
    score, target = np.atleast_1d(np.asarray(scores)), np.atleast_1d(np.asarray(targets, dtype=bool))
    left_out = np.zeros(target.shape, dtype=bool) if ignored is None else np.asarray(ignored, dtype=bool)
    if not score.shape == target.shape == left_out.shape:
        raise SadclError(f"The arrays must have one shape: {score.shape}, {target.shape}, {left_out.shape}")
    positives = np.sort(np.concatenate([s[y] for s, y in _known(score, target, left_out)])).astype(float)
    if not len(positives):
        return []
    # recall changes at scores of positives alone; equal scores lie on one side of every threshold
    distinct, counts = np.unique(-positives, return_counts=True)
    recall = np.cumsum(counts) / len(positives)
    nearest = np.searchsorted(recall, np.linspace(0, 1, POINTS - 1)[1:])
    ends = [(s.min(), s.max()) for s, _ in _known(score, target, left_out) if len(s)]
    lowest, highest = min(low for low, _ in ends), max(high for _, high in ends)
    thresholds = np.unique([*-distinct[nearest], float(lowest), float(highest)])
    above = np.zeros(len(thresholds) + 1, np.int64)
    for s, _ in _known(score, target, left_out):
        above += np.bincount(np.searchsorted(thresholds, s, side="right"), minlength=len(above))
    # scores at or above each threshold
    ranked = above[::-1].cumsum()[::-1][1:]
    hits = len(positives) - np.searchsorted(positives, thresholds)
    return [
        {"threshold": float(t), "recall": float(100 * (h / len(positives))), "precision": float(100 * (h / n))}
        for t, h, n in zip(thresholds[::-1], hits[::-1], ranked[::-1], strict=True)
    ]


def _known(
    scores: NDArray[Any], targets: NDArray[np.bool_], ignored: NDArray[np.bool_]
) -> Iterator[tuple[NDArray[Any], NDArray[np.bool_]]]:
    """Iterate over scores and targets of the known entries, flat, block by block."""
    for rows in row_blocks(len(scores), scores.size // max(len(scores), 1)):
        known = ~ignored[rows]
        yield scores[rows][known], targets[rows][known]


def per_class(
    classes: Sequence[str], targets: ArrayLike, ignored: ArrayLike | None, ap: Mapping[str, ArrayLike]
) -> list[dict[str, Any]]:
    """List metrics of each class with positives, in the classes' order.

    Args:
        classes: names [C].
        targets: [N, C].
        ignored: [N, C], entries to leave out.
        ap: average precision [C], percent, by the name of its column (``AP``, ``AP_sarl``).

    Returns:
        Rows of class, each column of ``ap``, and positives (number of images with the class).
    """
    present = np.asarray(targets, dtype=bool)
    if ignored is not None:
        present = present & ~np.asarray(ignored, dtype=bool)
    counts = present.sum(axis=0)
    return [
        {
            "class": classes[int(j)],
            **{name: float(np.asarray(values)[j]) for name, values in ap.items()},
            "positives": int(counts[j]),
        }
        for j in np.flatnonzero(counts)
    ]


def write_tables(folder: Path, scores: Scores, threshold: float) -> None:
    """Write the tables that ``dvc plots`` draws: AP a class, precision against recall, reliability.

    Args:
        folder: for ``per_class.csv``, ``precision_recall.csv``, ``reliability.csv``, ``reliability_uncalibrated.csv``.
        scores: with ``sadcl``, the model for use, and ``sarl``, stage 1 alone.
        threshold: of precision, recall and F1.
    """
    targets, ignored = scores.targets, scores.ignored
    ap = {"AP": scores.figures("sadcl", threshold)["AP"], "AP_sarl": scores.figures("sarl", threshold)["AP"]}
    bars = per_class(scores.classes, targets, ignored, ap)
    files.write_csv(folder / "per_class.csv", bars, ("class", *ap, "positives"))
    line = precision_recall(scores.probabilities("sadcl"), targets, ignored)
    files.write_csv(folder / "precision_recall.csv", line, ("recall", "precision", "threshold"))
    probabilities = {"": scores.in_use("sadcl")[0], "_uncalibrated": scores.probabilities("sadcl")}
    for suffix, values in probabilities.items():
        bins = reliability.reliability(values, targets, ignored)
        files.write_csv(folder / f"reliability{suffix}.csv", bins, ("score", "present", "labels"))
