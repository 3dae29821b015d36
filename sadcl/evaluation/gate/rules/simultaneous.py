"""Simultaneous comparison of many differences (classes, slices) with one family-wise error rate."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sadcl.evaluation.bootstrap import FloatArray
from sadcl.evaluation.gate.results import FAIL, PASS, RuleResult

LEVEL = 0.95
"""Probability of no false alarm in any part, where none has lost more than the margin."""
NAMED = 3
"""Most parts that the sentence names."""


@dataclass(frozen=True)
class Comparisons:
    """Differences between model and champion, part by part.

    Attributes:
        names: K names.
        change: [K], percentage points.
        draws: differences on resamples [K, R].
        bias: how many times the resamples' mean difference from the change is subtracted from it.
        wider: factors of the intervals' half-widths [K].
    """

    names: Sequence[str]
    change: FloatArray
    draws: FloatArray
    bias: float
    wider: FloatArray


def none_lost(parts: Comparisons, margin: float, noun: str, metric: str, left_out: str) -> RuleResult:
    """Judge whether any part has lost more than the margin.

    With an interval for each part, two of 80 would seem to lose by chance alone. So all intervals are as wide as the
    largest standardised deviation over all parts needs (Romano and Wolf 2005). The rule passes where no loss is shown,
    which is less than to show that there is none.

    Args:
        parts: at least one.
        margin: in percentage points.
        noun: of parts, in the plural.
        metric: name of the metric that they may lose.
        left_out: a sentence on parts that are not judged; may be empty.
    """
    low, high = _intervals(parts)
    order = np.argsort(parts.change)
    lost = [i for i in order if high[i] < -margin]
    named = ", ".join(
        f"{parts.names[i]} {parts.change[i]:+.1f} ({low[i]:+.1f} to {high[i]:+.1f})" for i in (lost or order)[:NAMED]
    )
    count, much = f"of {len(order)} {noun}", f"lost more than {margin:.2f} {metric}"
    words = (
        f"{len(lost)} {count} {much}: {named}."
        if lost
        else f"None {count} is shown to have {much}; the lowest: {named}."
    )
    worst = int((lost or list(order))[0])
    numbers = (float(value[worst]) for value in (parts.change, low, high))
    value, least, most = numbers
    return RuleResult(FAIL if lost else PASS, f"{words}{left_out}", value, -margin, least, most)


def _intervals(parts: Comparisons) -> tuple[FloatArray, FloatArray]:
    """Lower and upper ends [K] of intervals that hold simultaneously."""
    centre = np.nanmean(parts.draws, axis=1)
    # the floor keeps a part whose resamples do not vary from dividing by 0
    error = np.maximum(np.nanstd(parts.draws, axis=1, ddof=1), np.finfo(float).tiny)
    deviation = np.abs(parts.draws - centre[:, None]) / error[:, None]
    half_width = parts.wider * error * np.nanquantile(np.nanmax(deviation, axis=0), LEVEL)
    middle = parts.change - parts.bias * (centre - parts.change)
    return middle - half_width, middle + half_width
