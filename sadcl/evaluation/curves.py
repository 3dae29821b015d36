"""Tables for plots: precision-recall curve, metrics of each class, reliability."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sadcl import files
from sadcl.errors import SadclError
from sadcl.evaluation import reliability
from sadcl.evaluation.scores import Scores


def precision_recall(
    scores: ArrayLike, targets: ArrayLike, ignored: ArrayLike | None = None, points: int = 200
) -> list[dict[str, float]]:
    """Compute the precision-recall curve of all labels together (micro), as measured, without interpolation.

    Args:
        scores: [N, C], or [N] of one class.
        targets: present or absent, of the same shape.
        ignored: entries to leave out, of the same shape.
        points: most points, evenly spread over recall; the last covers the whole ranking.

    Returns:
        Rows of threshold (lowest score above the cut), recall and precision (percent); none without positives.

    Raises:
        SadclError: shapes differ, or fewer than two points are asked for.
    """
    score, target = np.asarray(scores, dtype=float), np.asarray(targets, dtype=bool)
    known = ~np.asarray(ignored, dtype=bool) if ignored is not None else np.ones(target.shape, dtype=bool)
    if not score.shape == target.shape == known.shape:
        raise SadclError(f"The arrays must have one shape: {score.shape}, {target.shape}, {known.shape}")
    if points < 2:
        raise SadclError(f"A curve needs two points or more, got points = {points}")
    score, target = score[known], target[known]
    order = np.argsort(-score, kind="stable")
    score, hits = score[order], np.cumsum(target[order])
    if not len(hits) or not hits[-1]:
        return []
    ends = np.flatnonzero(np.append(score[1:] != score[:-1], True))  # equal scores lie on one side of every threshold
    recall, precision = hits[ends] / hits[-1], hits[ends] / (ends + 1)
    nearest = np.searchsorted(recall, np.linspace(0, 1, points - 1))
    chosen = np.unique(np.append(nearest, len(ends) - 1))
    return [
        {"threshold": float(score[ends[i]]), "recall": float(100 * recall[i]), "precision": float(100 * precision[i])}
        for i in chosen
    ]


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
