"""No class loses more than so much, without a false alarm where there are many classes."""

import numpy as np
from numpy.typing import NDArray

from sadcl import params
from sadcl.evaluation.bootstrap import AP_BIAS, FloatArray, wider
from sadcl.evaluation.rules.base import (
    FAIL,
    NOT_APPLICABLE,
    PASS,
    REFUSED,
    Evidence,
    Held,
    NotApplicable,
    Sample,
    why_unknown,
)

LEVEL = 0.95
"""How often no class at all is accused, where none has lost more than the margin."""
NAMED = 3
"""Classes that the words name."""


def per_class(rule: params.PerClass, evidence: Evidence) -> Held:
    """Whether some class is shown to have lost more AP than the margin.

    Of 80 classes two would seem to lose by chance alone if each had an interval of its own, so all are held against
    one that is as wide as the worst of them needs (the bootstrap's largest standardised deviation over the classes,
    Romano and Wolf 2005). It passes where no class is shown to have lost; that is less than to show that none has.
    Classes with few test images are named, and not judged: their resamples say too little.
    """
    model, champion = evidence.model, evidence.champion
    if not isinstance(model, Sample):
        return Held(REFUSED, why_unknown("the model", model, "AP of each class"))
    if isinstance(champion, NotApplicable):
        return Held(NOT_APPLICABLE, f"AP of each class is not compared with a champion: {champion.reason}.")
    if not isinstance(champion, Sample):
        return Held(REFUSED, why_unknown("the champion", champion, "AP of each class"))
    judged = np.flatnonzero(model.positives >= rule.min_positives)
    few = f" {_count(len(evidence.classes) - len(judged))} with fewer than {rule.min_positives} test images not judged."
    few = few if len(judged) < len(evidence.classes) else ""
    if not len(judged):
        return Held(NOT_APPLICABLE, f"AP of each class: no class has {rule.min_positives} test images.")
    change = (model.ap - champion.ap)[judged]
    low, high = _together(change, (model.ap_draws - champion.ap_draws)[judged], model.positives[judged])
    order, margin = np.argsort(change), f"more than {rule.margin:.2f} AP"
    lost = [i for i in order if high[i] < -rule.margin]
    worst = int((lost or list(order))[0])
    named = ", ".join(_named(evidence.classes[judged[i]], change[i], low[i], high[i]) for i in (lost or order)[:NAMED])
    if lost:
        words = f"{_count(len(lost))} of {len(judged)} lost {margin}: {named}.{few}"
    else:
        words = f"No class of {len(judged)} is shown to have lost {margin}; the lowest: {named}.{few}"
    result = FAIL if lost else PASS
    return Held(result, words, float(change[worst]), -rule.margin, float(low[worst]), float(high[worst]))


def _together(change: FloatArray, draws: FloatArray, positives: NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
    """Intervals [K] that all hold at once, from resamples [K, R], corrected as ``ap_interval`` does it."""
    centre = np.nanmean(draws, axis=1)
    error = np.maximum(np.nanstd(draws, axis=1, ddof=1), np.finfo(float).tiny)
    apart = np.abs(draws - centre[:, None]) / error[:, None]
    wide = wider(positives) * error * np.nanquantile(np.nanmax(apart, axis=0), LEVEL)
    middle = change - AP_BIAS * (centre - change)
    return middle - wide, middle + wide


def _named(name: str, change: float, low: float, high: float) -> str:
    return f"{name} {change:+.1f} ({low:+.1f} to {high:+.1f})"


def _count(classes: int) -> str:
    return f"{classes} class" if classes == 1 else f"{classes} classes"
