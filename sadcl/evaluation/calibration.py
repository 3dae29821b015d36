"""Calibration and thresholds of each class, fitted on the select split.

Both shrink towards values common to all classes, the more the fewer positives a class has: with ten of them, a class's
own threshold of best F1 on select gains nothing on other photos.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sadcl.errors import SadclError

FloatArray = NDArray[np.float64]

SLOPE_SPREAD, BIAS_SPREAD = 0.3, 1.0
"""Prior standard deviations of a class's slope (as a share of the common one) and bias about the common values."""
WIDE = 10.0
"""Prior standard deviation of the common slope and bias about 1 and 0: it keeps them finite where scores separate."""
LEAST_SLOPE = 0.1
"""Least slope, as a share of the common one: a positive slope keeps the order of the photos, and with it AP."""
STEPS, SETTLED = 100, 1e-9


class Calibration(NamedTuple):
    """Slope, bias and threshold of each class [C]; labels need sigmoid(slope * logit + bias) above the threshold."""

    slope: FloatArray
    bias: FloatArray
    thresholds: FloatArray

    def probabilities(self, logits: ArrayLike) -> FloatArray:
        """Calibrated probabilities [N, C] of logits [N, C]; each class keeps the order of its photos."""
        return sigmoid(self.slope * np.asarray(logits, dtype=np.float64) + self.bias)

    def as_lists(self) -> dict[str, list[float]]:
        """Convert to lists of numbers, for JSON."""
        return {name: part.tolist() for name, part in self._asdict().items()}

    @classmethod
    def of(cls, lists: Mapping[str, Any]) -> "Calibration":
        """Create from what ``as_lists`` returned."""
        return cls(*(np.asarray(lists[name], dtype=np.float64) for name in cls._fields))


def identity_calibration(classes: int) -> Calibration:
    """Calibration without effect: slope 1, bias 0, thresholds 0.5."""
    return Calibration(np.ones(classes), np.zeros(classes), np.full(classes, 0.5))


def fit(
    logits: ArrayLike, targets: ArrayLike, ignored: ArrayLike | None = None, precision: float | None = None,
    prior_positives: float = 20.0,
) -> Calibration:  # fmt: skip
    """Fit calibration and thresholds on photos that took no part in training.

    Args:
        logits: [N, C].
        targets: [N, C], present or absent.
        ignored: [N, C], entries to leave out.
        precision: target in percent; None maximises F1. A class's own threshold reaches it on these photos, its mean
            with the common one may miss it.
        prior_positives: weight of the common threshold in the mean, in positives of a class.

    Raises:
        SadclError: shapes differ, a logit is not finite, or no label is present, or none absent.
    """
    z, y, known = _checked(logits, targets, ignored)
    slope, bias = platt(z, y, known)
    scores = sigmoid(slope * z + bias)
    own = np.array([_threshold(s[k], t[k], precision) for s, t, k in zip(scores.T, y.T, known.T, strict=True)])
    common, positives = _threshold(scores[known], y[known], precision), (y & known).sum(axis=0)
    # averaged as logits: near 0 and 1 a small change of probability is a large one of odds
    share = positives / (positives + prior_positives) if prior_positives else np.minimum(positives, 1)
    return Calibration(slope, bias, sigmoid(share * logit(own) + (1 - share) * logit(common)))


def platt(logits: FloatArray, targets: NDArray[np.bool_], known: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
    """Fit slope and bias [C] of each class (Platt 1999), shrunk towards those of all labels together.

    Maximum a posteriori: logistic regression on the logit, with a normal prior about the common slope and bias, which a
    class without positives nearly keeps.

    Args:
        logits: [N, C].
        targets: [N, C].
        known: [N, C], entries that are not ignored.
    """
    every, C = logits[known][:, None], logits.shape[1]
    together = _newton(every, targets[known][:, None], np.ones_like(every), np.ones(1), np.zeros(1), WIDE, WIDE)
    common, shift = max(float(together[0][0]), 1e-3), float(together[1][0])
    spread = SLOPE_SPREAD * common
    slope, bias = _newton(logits, targets, known, np.full(C, common), np.full(C, shift), spread, BIAS_SPREAD)
    return np.maximum(slope, LEAST_SLOPE * common), bias


def sigmoid(values: FloatArray) -> FloatArray:
    """1 / (1 + exp(-values)), without overflow."""
    return np.asarray((1 + np.tanh(values / 2)) / 2)


def logit(scores: ArrayLike) -> FloatArray:
    """Inverse of the sigmoid, of scores clipped to 1e-6 to 1 - 1e-6."""
    clipped = np.clip(scores, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))


def _newton(
    z: FloatArray, y: NDArray[np.bool_], known: NDArray[Any], slope: FloatArray, bias: FloatArray,
    slope_spread: float, bias_spread: float,
) -> tuple[FloatArray, FloatArray]:  # fmt: skip
    """Minimise by Newton's method, all columns at once: a convex problem, with short steps where it is flat."""
    a, b = slope.copy(), bias.copy()
    for _ in range(STEPS):
        p = sigmoid(a * z + b)
        off, weight = (p - y) * known, p * (1 - p) * known
        ga = (off * z).sum(axis=0) + (a - slope) / slope_spread**2
        gb = off.sum(axis=0) + (b - bias) / bias_spread**2
        haa = (weight * z * z).sum(axis=0) + 1 / slope_spread**2
        hab, hbb = (weight * z).sum(axis=0), weight.sum(axis=0) + 1 / bias_spread**2
        determinant = haa * hbb - hab**2
        da, db = (hbb * ga - hab * gb) / determinant, (haa * gb - hab * ga) / determinant
        short = np.minimum(1, 1 / np.maximum(np.maximum(np.abs(da), np.abs(db)), 1e-12))
        a, b = a - short * da, b - short * db
        if max(np.abs(da).max(), np.abs(db).max()) < SETTLED:
            break
    return a, b


def _threshold(scores: FloatArray, targets: NDArray[np.bool_], precision: float | None) -> float:
    """Threshold midway between two scores: of best F1, or of most labels at the precision; 1 where none reaches it."""
    order = np.argsort(-scores, kind="stable")
    score, right = scores[order], targets[order].cumsum()
    if not len(score) or not right[-1]:
        return 1.0
    predicted = np.arange(1, len(score) + 1)
    whole = np.append(score[1:] < score[:-1], True)  # equal scores are predicted together or not at all
    if precision is None:
        last = int(np.where(whole, right / (predicted + right[-1]), -1).argmax())
    else:
        reached = np.flatnonzero(whole & (100 * right >= precision * predicted))
        last = int(reached[-1]) if len(reached) else -1
    above = score[last] if last >= 0 else 1.0
    return float((above + (score[last + 1] if last + 1 < len(score) else 0.0)) / 2)


def _checked(
    logits: ArrayLike, targets: ArrayLike, ignored: ArrayLike | None
) -> tuple[FloatArray, NDArray[np.bool_], NDArray[np.bool_]]:
    z, y = np.asarray(logits, dtype=np.float64), np.asarray(targets, dtype=bool)
    known = np.ones(y.shape, bool) if ignored is None else ~np.asarray(ignored, dtype=bool)
    if z.ndim != 2 or not z.shape == y.shape == known.shape:
        raise SadclError(f"The arrays must have one shape [N, C]: {z.shape}, {y.shape}, {known.shape}")
    if not np.isfinite(z).all():
        raise SadclError("A logit is not finite", fix="Lower lr and train again")
    present = int((y & known).sum())
    if present in (0, int(known.sum())):
        raise SadclError("Calibration needs present and absent labels, but all are alike", fix="Use more photos")
    return z, y, known
