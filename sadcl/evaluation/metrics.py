"""Metrics of multi-label classification, in percent (method, section 5)."""

from typing import Any, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sadcl.errors import SadclError
from sadcl.evaluation.blocks import column_blocks, row_blocks

NAMES = ("mAP", "CP", "CR", "CF1", "CF1_harmonic", "OP", "OR", "OF1")
"""Metrics that are one number each, in the order of tables."""

TOP = 3
"""Most labels of a photo in the top-3 metrics."""


class ThresholdFigures(TypedDict):
    """Precision, recall and F1: means over classes (C), and over all labels together (O); percent."""

    CP: float
    CR: float
    CF1: float
    CF1_harmonic: float
    OP: float
    OR: float
    OF1: float


class Figures(ThresholdFigures):
    """Metrics of ``evaluate``; AP [C] is NaN for the classes in ``classes_without_positives``."""

    mAP: float
    top3: ThresholdFigures
    AP: NDArray[np.float64]
    classes_without_positives: list[int]


def evaluate(
    scores: ArrayLike, targets: ArrayLike, ignored: ArrayLike | None = None, threshold: float = 0.5
) -> Figures:
    """Compute all metrics of the method (section 5).

    A label is predicted when its score is strictly greater than the threshold; a precision without predictions is 0.
    CF1 is the mean of the classes' F1, CF1_harmonic the F1 of CP and CR. A class without positives has no AP and is
    left out of mAP; in CP, CR and CF1 it counts 0, as in published code. top3 keeps each photo's three best scores
    and then applies the same threshold.

    Args:
        scores: probabilities [N, C], in 0 to 1.
        targets: [N, C], present (1) or absent (0).
        ignored: [N, C] bool, entries that are neither; left out of all metrics and of the top three.
        threshold: in 0 to 1.

    Returns:
        All metrics in percent. mAP is NaN when no class has a positive.

    Raises:
        SadclError: shapes differ or are empty, a score is NaN or out of range, a target is not 0 or 1.
    """
    score, target, known = _checked(scores, targets, ignored, threshold)
    ap = class_average_precisions(score, target, known)
    present, (right, predicted), (best_right, best_predicted) = _counts(score, target, known, threshold)
    without = np.flatnonzero(present == 0)
    return {
        "mAP": float(np.mean(ap[~np.isnan(ap)])) if len(without) < len(ap) else float("nan"),
        **_as_figures(right, predicted, present),
        "top3": _as_figures(best_right, best_predicted, present),
        "AP": ap,
        "classes_without_positives": without.tolist(),
    }


def label_metrics(
    predicted: NDArray[np.bool_], targets: NDArray[np.bool_], ignored: NDArray[np.bool_]
) -> ThresholdFigures:
    """Compute precision, recall and F1 of predicted labels [N, C], whatever rule predicted them; percent."""
    known = ~ignored
    present, known_predicted = targets & known, predicted & known
    return _as_figures((known_predicted & present).sum(axis=0), known_predicted.sum(axis=0), present.sum(axis=0))


def class_average_precisions(
    scores: NDArray[np.floating[Any]], targets: NDArray[np.bool_], known: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Compute the AP of each class [C] over its known entries, percent; NaN without positives.

    Args:
        scores: [N, C].
        targets: [N, C].
        known: [N, C], entries that take part.
    """
    ap = []
    for columns in column_blocks(scores.shape[1]):
        # rows of classes: a column alone is read from memory in whole cache lines, of which it needs a value each
        parts = (np.ascontiguousarray(part[:, columns].T) for part in (scores, targets, known))
        ap += [average_precision(s[k], t[k]) for s, t, k in zip(*parts, strict=True)]
    return np.array(ap)


def _counts(
    score: NDArray[Any], target: NDArray[np.bool_], known: NDArray[np.bool_], threshold: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Count photos of each class: present [C]; right and predicted [2, C]; right and predicted of the top three."""
    C = score.shape[1]
    present, at_threshold, among_best = np.zeros(C, np.int64), np.zeros((2, C), np.int64), np.zeros((2, C), np.int64)
    for rows in row_blocks(*score.shape):
        here = target[rows] & known[rows]
        predicted = (score[rows] > threshold) & known[rows]
        # -1 is below every probability: an ignored entry takes no place among the best three
        top = predicted & best(np.where(known[rows], score[rows], -1), TOP)
        present += here.sum(axis=0)
        at_threshold += [(predicted & here).sum(axis=0), predicted.sum(axis=0)]
        among_best += [(top & here).sum(axis=0), top.sum(axis=0)]
    return present, at_threshold, among_best


def average_precision(scores: ArrayLike, targets: ArrayLike) -> float:
    """Compute AP: the area under one class's interpolated precision-recall curve, at all points (method, section 5).

    Equal scores keep the order of the images.

    Args:
        scores: finite numbers [N]; only their order counts.
        targets: [N], present or absent.

    Returns:
        Percent; NaN without positives.
    """
    score, hits = np.asarray(scores), np.asarray(targets, dtype=bool)
    if not hits.any():
        return float("nan")
    ranks = _ranks(score if np.issubdtype(score.dtype, np.floating) else score.astype(float), hits)
    precision = np.arange(1, len(ranks) + 1) / ranks
    never_rising = np.maximum.accumulate(precision[::-1])[::-1]
    return float(100 * never_rising.mean())  # each positive is one equal step of recall


def _ranks(score: NDArray[np.floating[Any]], hits: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Ranks of the positives in ascending order; the best score has rank 1."""
    # values are sorted, not indexes: only the positives need ranks
    ascending, positives = np.sort(score), np.sort(score[hits])[::-1]
    after = np.searchsorted(ascending, positives, side="right")
    ranks = len(score) - after + 1
    tied = after - np.searchsorted(ascending, positives) > 1
    if tied.any():
        # a search by value gives all equal scores the best rank of their group
        ranks[tied] += _places_in_groups(score, np.unique(positives[tied]), hits)
    return ranks


def _places_in_groups(
    score: NDArray[np.floating[Any]], values: NDArray[np.floating[Any]], hits: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Places of positives among the images of equal score, from 0; the order of the images decides.

    Many groups are one sort: a million scores in float32 have tens of thousands.

    Args:
        score: [N].
        values: scores of the groups, ascending.
        hits: positives [N].

    Returns:
        One for each positive of a group, by descending score.
    """
    nearest = values[np.searchsorted(values, score).clip(max=len(values) - 1)]
    members = np.flatnonzero(nearest == score)
    order = members[np.argsort(-score[members], kind="stable")]
    descending = -score[order]
    places = np.arange(len(order)) - np.searchsorted(descending, descending)
    return places[hits[order]]


def to_json(figures: Figures) -> dict[str, Any]:
    """Convert metrics for a JSON file: single numbers and top3; NaN becomes None."""
    values: dict[str, Any] = {name: or_none(figures[name]) for name in NAMES}  # type: ignore[literal-required]
    return {**values, "top3": {name: or_none(value) for name, value in figures["top3"].items()}}


def _as_figures(right: NDArray[Any], predicted: NDArray[Any], present: NDArray[Any]) -> ThresholdFigures:
    values = count_metrics(right, predicted, present)
    return {name: float(value) for name, value in values.items()}  # type: ignore[return-value]


def count_metrics(
    true_positives: NDArray[Any], predicted: NDArray[Any], present: NDArray[Any]
) -> dict[str, NDArray[np.float64]]:
    """Compute precision, recall and F1 from counts of photos [..., C], in percent [...].

    Args:
        true_positives: photos on which the class is predicted and present.
        predicted: photos on which it is predicted.
        present: photos on which it is present.

    Returns:
        CP, CR, CF1, CF1_harmonic, OP, OR, OF1.
    """
    # equation (10) of docs/explanation/method.md
    cp, cr = _share(true_positives, predicted).mean(-1), _share(true_positives, present).mean(-1)
    total = true_positives.sum(-1)
    # equation (11)
    op, or_ = _share(total, predicted.sum(-1)), _share(total, present.sum(-1))
    values = {
        "CP": cp,
        "CR": cr,
        # 2 P R / (P + R) in counts: no special case for a class without predictions
        "CF1": _share(2 * true_positives, predicted + present).mean(-1),
        "CF1_harmonic": _share(2 * cp * cr, cp + cr),
        "OP": op,
        "OR": or_,
        "OF1": _share(2 * op * or_, op + or_),
    }
    return {name: 100 * value for name, value in values.items()}


def _share(part: Any, whole: Any) -> NDArray[np.float64]:
    """Divide; 0 where ``whole`` is 0."""
    share: NDArray[np.float64] = np.divide(part, whole, out=np.zeros(np.shape(whole)), where=np.asarray(whole) > 0)
    return share


def best(scores: NDArray[Any], count: int) -> NDArray[np.bool_]:
    """Mark the ``count`` highest scores of each row [N, C]; of equal scores the first class."""
    left = scores.copy()
    rows = np.arange(len(left))
    for _ in range(min(count, left.shape[1])):
        # argmax takes the first of equal scores; a partial sort would take any
        left[rows, left.argmax(axis=1)] = -np.inf
    return np.isneginf(left)


def or_none(value: Any) -> float | None:
    """Convert a number for a JSON file: NaN and infinity become None."""
    return float(value) if np.isfinite(value) else None


def _checked(
    scores: ArrayLike, targets: ArrayLike, ignored: ArrayLike | None, threshold: float
) -> tuple[NDArray[np.floating[Any]], NDArray[np.bool_], NDArray[np.bool_]]:
    """Check the arrays; return scores, targets and entries that are not ignored, each [N, C]."""
    score, target = np.asarray(scores), np.asarray(targets)
    left_out = np.zeros(target.shape, dtype=bool) if ignored is None else np.asarray(ignored)
    if score.ndim != 2 or not score.shape == target.shape == left_out.shape:
        shapes = f"scores {score.shape}, targets {target.shape}, ignored {left_out.shape}"
        raise SadclError(f"The arrays must have one shape [N, C], but they have {shapes}")
    if 0 in score.shape:
        raise SadclError(f"There is nothing to evaluate: {score.shape[0]} images, {score.shape[1]} classes")
    if not np.issubdtype(score.dtype, np.floating):
        score = score.astype(float)
    if not 0 <= threshold <= 1:
        raise SadclError(f"The threshold must be in 0 to 1, but it is {threshold}")
    in_range = (score >= 0) & (score <= 1)  # false for a NaN
    _refuse(score, ~in_range, "A score must be in 0 to 1", "Pass probabilities: the sigmoid of the logits")
    _refuse(
        target, (target != 0) & (target != 1), "A target must be 0 or 1", "Mark entries that are neither in `ignored`"
    )
    _refuse(left_out, (left_out != 0) & (left_out != 1), "An entry of ignored must be 0 or 1", "")
    return score, target.astype(bool), ~left_out.astype(bool)


def _refuse(values: NDArray[Any], odd: NDArray[np.bool_], rule: str, fix: str) -> None:
    if odd.any():
        row, column = np.argwhere(odd)[0]
        raise SadclError(f"{rule}, but one is {values[row, column]}", where=f"image {row}, class {column}", fix=fix)
