"""From scores to labels: calibration and thresholds of each class, fitted on the select split.

Both lean on what all classes have in common, by as much as a class has few positives: with ten of them, a threshold of
its own that maximises F1 on select gains nothing on other photos.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sadcl.errors import SadclError

FloatArray = NDArray[np.float64]

SLOPE_SPREAD, BIAS_SPREAD = 0.3, 1.0
"""Standard deviations of a class's slope (as a share of the common one) and bias about the common ones."""
WIDE = 10.0
"""The same of the common ones about 1 and 0: it only keeps them finite where the scores are never wrong."""
LEAST_SLOPE = 0.1
"""Share of the common slope below which none falls: the order of the photos, and so AP, stays what it was."""
STEPS, SETTLED = 100, 1e-9


class Calibration(NamedTuple):
    """What makes probabilities and labels of logits; lists of C numbers each."""

    slope: FloatArray
    bias: FloatArray
    thresholds: FloatArray

    def probabilities(self, logits: ArrayLike) -> FloatArray:
        """Calibrated scores [N, C]; the order of a class's photos is that of its logits."""
        return sigmoid(self.slope * np.asarray(logits, dtype=np.float64) + self.bias)

    def as_lists(self) -> dict[str, list[float]]:
        """Plain numbers, for JSON."""
        return {name: part.tolist() for name, part in self._asdict().items()}

    @classmethod
    def of(cls, lists: Mapping[str, Any]) -> "Calibration":
        """The same from what ``as_lists`` gave."""
        return cls(*(np.asarray(lists[name], dtype=np.float64) for name in cls._fields))


def identity_calibration(classes: int) -> Calibration:
    """Logits as they are, and 0.5."""
    return Calibration(np.ones(classes), np.zeros(classes), np.full(classes, 0.5))


def fit(
    logits: ArrayLike, targets: ArrayLike, ignored: ArrayLike | None = None, precision: float | None = None,
    prior_positives: float = 20.0,
) -> Calibration:  # fmt: skip
    """Calibration and thresholds from photos that took no part in training.

    Args:
        logits: [N, C].
        targets: [N, C], present or absent.
        ignored: [N, C], entries to leave out.
        precision: percent aimed at; None maximises F1. A class's own threshold reaches it on these photos, its blend
            with the common one need not.
        prior_positives: how many positives the threshold of all classes together weighs beside a class's own.

    Raises:
        SadclError: shapes differ, a logit is not finite, or no label is present, or none absent.
    """
    z, y, known = _checked(logits, targets, ignored)
    slope, bias = platt(z, y, known)
    scores = sigmoid(slope * z + bias)
    own = np.array([_threshold(s[k], t[k], precision) for s, t, k in zip(scores.T, y.T, known.T, strict=True)])
    common, positives = _threshold(scores[known], y[known], precision), (y & known).sum(axis=0)
    share = positives / (positives + prior_positives) if prior_positives else np.minimum(positives, 1)
    return Calibration(slope, bias, sigmoid(share * logit(own) + (1 - share) * logit(common)))


def platt(logits: FloatArray, targets: NDArray[np.bool_], known: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
    """Slope and bias [C] of each class's logit (Platt 1999), drawn towards those of all labels together.

    The largest posterior: logistic regression on the logit, with a normal prior about the common slope and bias. A
    class without positives keeps nearly those.

    Args:
        logits: [N, C].
        targets: [N, C].
        known: [N, C], entries that count.
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
    """The inverse, of scores held between 1e-6 and 1 - 1e-6."""
    held = np.clip(scores, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(held) - np.log1p(-held))


def _newton(
    z: FloatArray, y: NDArray[np.bool_], known: NDArray[Any], slope: FloatArray, bias: FloatArray,
    slope_spread: float, bias_spread: float,
) -> tuple[FloatArray, FloatArray]:  # fmt: skip
    """Newton's method for each column at once; the problem is convex, and steps are kept short where it is flat."""
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
    """Between two scores: the best F1, or the most labels of the wanted precision; beyond all where none reaches it."""
    order = np.argsort(-scores, kind="stable")
    score, right = scores[order], targets[order].cumsum()
    if not len(score) or not right[-1]:
        return 1.0
    said = np.arange(1, len(score) + 1)
    whole = np.append(score[1:] < score[:-1], True)  # equal scores are given together, or not at all
    if precision is None:
        last = int(np.where(whole, right / (said + right[-1]), -1).argmax())
    else:
        reached = np.flatnonzero(whole & (100 * right >= precision * said))
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
        raise SadclError("A logit is not finite", fix="Train again with a lower rate")
    present = int((y & known).sum())
    if present in (0, int(known.sum())):
        raise SadclError("Nothing can be calibrated: no label is present, or none is absent", fix="Use more photos")
    return z, y, known
