"""Calibration and thresholds of each class, fitted on the select split.

Both shrink towards values common to all classes, the more the fewer positives a class has: with ten of them, a class's
own threshold of best F1 on select gains nothing on other photos.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sadcl.errors import SadclError
from sadcl.evaluation.blocks import row_blocks

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
        values = np.asarray(logits)
        out = np.empty(values.shape)
        for rows in row_blocks(*values.shape):
            out[rows] = sigmoid(self.slope * values[rows].astype(np.float64) + self.bias)
        return out

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
            with the common one may miss it. A threshold of 1, which gives no label, stands where none reaches it.
        prior_positives: weight of the common threshold in the mean, in positives of a class.

    Raises:
        SadclError: shapes differ, a logit is not finite, or no label is present, or none absent.
    """
    z, y, known = _checked(logits, targets, ignored)
    slope, bias = platt(z, y, known)
    scores = Calibration(slope, bias, bias).probabilities(z)
    own = np.array([_threshold(s[k], t[k], precision) for s, t, k in zip(scores.T, y.T, known.T, strict=True)])
    common, positives = _threshold(scores[known], y[known], precision), (y & known).sum(axis=0)
    # averaged as logits: near 0 and 1 a small change of probability is a large one of odds
    # equation (1) of docs/explanation/calibration.md; without a prior, a class without positives still has no threshold
    # of its own
    share = positives / (positives + prior_positives) if prior_positives else np.minimum(positives, 1)
    mean = sigmoid(share * logit(own) + (1 - share) * logit(common))
    # logit clips its values: without this, scores close to 1 would pass where all thresholds in the mean are 1
    reached = np.where(share < 1, np.minimum(own, common), own) < 1
    return Calibration(slope, bias, np.where(reached, mean, 1.0))


def platt(logits: NDArray[Any], targets: NDArray[np.bool_], known: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
    """Fit slope and bias [C] of each class (Platt 1999), shrunk towards those of all labels together.

    Maximum a posteriori: logistic regression on the logit, with a normal prior about the common slope and bias, which a
    class without positives nearly keeps.

    Args:
        logits: [N, C].
        targets: [N, C].
        known: [N, C], entries that are not ignored.
    """
    C = logits.shape[1]
    parts = _Labels(logits, targets, known)
    together = _newton(parts.flat, np.ones(1), np.zeros(1), WIDE, WIDE)
    # scores worse than chance fit a negative slope, which would turn the order of all photos round
    common, shift = max(float(together[0][0]), 1e-3), float(together[1][0])
    spread = SLOPE_SPREAD * common
    slope, bias = _newton(parts.by_class, np.full(C, common), np.full(C, shift), spread, BIAS_SPREAD)
    return np.maximum(slope, LEAST_SLOPE * common), bias


def sigmoid(values: FloatArray) -> FloatArray:
    """1 / (1 + exp(-values)), without overflow."""
    out = np.asarray(values / 2)
    # in place: of a million photos, a copy takes as much memory as all their scores
    np.tanh(out, out=out)
    out += 1
    out /= 2
    return out


def logit(scores: ArrayLike) -> FloatArray:
    """Inverse of the sigmoid, of scores clipped to 1e-6 to 1 - 1e-6."""
    clipped = np.clip(scores, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))


class _Labels:
    """Logits and labels of all photos, block by block in float64: z, y and known [n, C], or [n, 1] of all classes."""

    def __init__(self, logits: NDArray[Any], targets: NDArray[np.bool_], known: NDArray[np.bool_]) -> None:
        self.logits, self.targets, self.known = logits, targets, known

    def by_class(self) -> Iterator[tuple[FloatArray, NDArray[np.bool_], NDArray[Any]]]:
        for rows in row_blocks(*self.logits.shape):
            yield self.logits[rows].astype(np.float64), self.targets[rows], self.known[rows]

    def flat(self) -> Iterator[tuple[FloatArray, NDArray[np.bool_], NDArray[Any]]]:
        for z, y, known in self.by_class():
            every = z[known][:, None]
            yield every, y[known][:, None], np.ones_like(every)


def _newton(
    blocks: Callable[[], Iterable[tuple[FloatArray, NDArray[np.bool_], NDArray[Any]]]],
    slope: FloatArray, bias: FloatArray, slope_spread: float, bias_spread: float,
) -> tuple[FloatArray, FloatArray]:  # fmt: skip
    """Minimise by Newton's method, all columns at once: a convex problem, with short steps where it is flat."""
    a, b = slope.copy(), bias.copy()
    for _ in range(STEPS):
        # gradient and Hessian, summed over the photos: off z, off, weight z z, weight z, weight
        sums = np.zeros((5, len(a)))
        for z, y, known in blocks():
            p = sigmoid(a * z + b)
            off, weight = (p - y) * known, p * (1 - p) * known
            sums += [part.sum(axis=0) for part in (off * z, off, weight * z * z, weight * z, weight)]
        ga, gb = sums[0] + (a - slope) / slope_spread**2, sums[1] + (b - bias) / bias_spread**2
        haa, hab, hbb = sums[2] + 1 / slope_spread**2, sums[3], sums[4] + 1 / bias_spread**2
        # two unknowns a class: the system is solved by Cramer's rule, for all classes in one step
        determinant = haa * hbb - hab**2
        da, db = (hbb * ga - hab * gb) / determinant, (haa * gb - hab * ga) / determinant
        # no longer than 1 in slope or bias: where the sigmoid is saturated, a full step overshoots
        short = np.minimum(1, 1 / np.maximum(np.maximum(np.abs(da), np.abs(db)), 1e-12))
        a, b = a - short * da, b - short * db
        if max(np.abs(da).max(), np.abs(db).max()) < SETTLED:
            break
    return a, b


def _threshold(scores: FloatArray, targets: NDArray[np.bool_], precision: float | None) -> float:
    """Threshold midway between two scores: of best F1, or of most labels at the precision; 1 where none reaches it."""
    positives = np.sort(scores[targets])
    if not len(positives):
        return 1.0
    score, last, most = np.sort(scores)[::-1], -1, -1.0
    for block in row_blocks(len(score), 1):
        part, following = score[block], score[block.start + 1 : block.stop + 1]
        # equal scores are predicted together or not at all
        whole = np.ones(len(part), bool)
        whole[: len(following)] = following < part[: len(following)]
        right, predicted = len(positives) - np.searchsorted(positives, part), np.arange(block.start, block.stop) + 1
        if precision is None:
            # half of F1, which has its maximum at the same place
            halves = np.where(whole, right / (predicted + len(positives)), -1)
            if halves.max() > most:
                last, most = block.start + int(halves.argmax()), float(halves.max())
        elif len(reached := np.flatnonzero(whole & (100 * right >= precision * predicted))):
            last = block.start + int(reached[-1])
    if last < 0:
        return 1.0
    # midway, not at the score: a label needs a probability above its threshold; below 1, which would give no label
    midway = (score[last] + (score[last + 1] if last + 1 < len(score) else 0.0)) / 2
    return float(min(midway, np.nextafter(1.0, 0.0)))


def _checked(
    logits: ArrayLike, targets: ArrayLike, ignored: ArrayLike | None
) -> tuple[NDArray[Any], NDArray[np.bool_], NDArray[np.bool_]]:
    z, y = np.asarray(logits), np.asarray(targets, dtype=bool)
    known = np.ones(y.shape, bool) if ignored is None else ~np.asarray(ignored, dtype=bool)
    if z.ndim != 2 or not z.shape == y.shape == known.shape:
        raise SadclError(f"The arrays must have one shape [N, C]: {z.shape}, {y.shape}, {known.shape}")
    if not np.isfinite(z).all():
        raise SadclError("A logit is not finite", fix="Lower lr and train again")
    present = int((y & known).sum())
    if present in (0, int(known.sum())):
        raise SadclError("Calibration needs present and absent labels, but all are alike", fix="Use more photos")
    return z, y, known
