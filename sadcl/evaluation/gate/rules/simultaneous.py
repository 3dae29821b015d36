"""Many differences at once, without a false alarm: the classes of a model, the slices of its test images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sadcl.evaluation.bootstrap import FloatArray
from sadcl.evaluation.gate.results import FAIL, PASS, RuleResult

LEVEL = 0.95
"""How often no part at all is accused, where none has lost more than the margin."""
NAMED = 3
"""Parts that the words name."""


@dataclass(frozen=True)
class Comparisons:
    """How much more a model scores than the champion, part by part.

    Attributes:
        names: K names.
        change: [K], percentage points.
        draws: the same on resamples [K, R].
        bias: how many times the resamples' mean distance from the change is taken off it.
        wider: factors of the intervals' arms [K].
    """

    names: Sequence[str]
    change: FloatArray
    draws: FloatArray
    bias: float
    wider: FloatArray


def none_lost(parts: Comparisons, margin: float, noun: str, metric: str, left_out: str) -> RuleResult:
    """Whether some part is shown to have lost more than the margin.

    Of 80 parts two would seem to lose by chance alone if each had an interval of its own, so all are held against one
    that is as wide as the worst of them needs (the bootstrap's largest standardised deviation over all parts, Romano
    and Wolf 2005). It passes where none is shown to have lost; that is less than to show that none has.

    Args:
        parts: at least one.
        margin: in percentage points.
        noun: of parts, in the plural.
        metric: what they may lose.
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
    """[K] and [K], which all hold at once."""
    centre = np.nanmean(parts.draws, axis=1)
    error = np.maximum(np.nanstd(parts.draws, axis=1, ddof=1), np.finfo(float).tiny)
    apart = np.abs(parts.draws - centre[:, None]) / error[:, None]
    arm = parts.wider * error * np.nanquantile(np.nanmax(apart, axis=0), LEVEL)
    middle = parts.change - parts.bias * (centre - parts.change)
    return middle - arm, middle + arm
