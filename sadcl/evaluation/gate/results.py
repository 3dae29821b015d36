"""Results of gate rules: comparison of a bound with a metric's interval."""

from dataclasses import dataclass
from math import isfinite

from sadcl.evaluation.bootstrap import Interval

PASS, FAIL, UNDECIDED, NOT_APPLICABLE, REFUSED = "pass", "fail", "undecided", "not applicable", "refused"
HOPELESS = 100
"""Largest multiple of the test images that a verdict suggests to collect."""


@dataclass(frozen=True)
class RuleResult:
    """The result of a rule.

    Attributes:
        result: pass, fail, undecided, not applicable or refused.
        words: the reason, as one sentence that a reviewer can check.
        value: the model's metric.
        bound: compared with the value: a number of the settings, or the champion's value.
        low: lower end of the 95 % interval of the value, or of its difference from the champion's.
        high: upper end of the same interval.
        more_images: about how many more test images would decide; None where the rule is decided, or needs too many.
    """

    result: str
    words: str
    value: float | None = None
    bound: float | None = None
    low: float | None = None
    high: float | None = None
    more_images: int | None = None


@dataclass(frozen=True)
class Bound:
    """A lower or upper limit of a metric, the limit itself included.

    Attributes:
        value: of the limit.
        lower: whether it is a lower limit.
        by_interval: judge the metric's whole interval, or (false) the metric alone.
        why: the origin of the value, in words; may be empty.
    """

    value: float
    lower: bool
    by_interval: bool
    why: str = ""


def hold(name: str, figure: Interval, limit: Bound, images: int, sign: str = "") -> RuleResult:
    """Compare a metric with a limit.

    By interval the rule passes when all of the interval lies on the right side, fails when all lies on the wrong side,
    and is undecided otherwise. An interval narrows with the square root of the number of images, which gives an
    estimate of the images that would decide.

    Args:
        name: of the metric, for the sentence.
        figure: metric with its interval.
        limit: the bound.
        images: N, behind the metric.
        sign: "+" shows the sign of positive numbers, too.
    """
    # the pessimistic end first
    worst, best = (figure.low, figure.high) if limit.lower else (figure.high, figure.low)
    value, pessimistic, optimistic, threshold = numbers(figure.value, worst, best, limit.value, sign=sign)
    satisfied, violated = ("at least", "below") if limit.lower else ("at most", "above")
    bound = f"{threshold}{f' ({limit.why})' if limit.why else ''}"

    def right(number: float) -> bool:
        return number >= limit.value if limit.lower else number <= limit.value

    def judged(result: str, words: str, more_images: int | None = None) -> RuleResult:
        return RuleResult(result, words, low=_finite(figure.low), high=_finite(figure.high), more_images=more_images)

    if not limit.by_interval:
        holds = right(figure.value)
        return judged(PASS if holds else FAIL, f"{name} {value} is {satisfied if holds else violated} {bound}.")
    # before the comparisons: they are false for a NaN, and would end in a failure that nobody measured
    if not (isfinite(worst) and isfinite(best)):
        return judged(REFUSED, f"{name} {value} has no interval: resamples of the test images have no such metric.")
    if right(worst):
        return judged(PASS, f"{name} {value}, at worst {pessimistic}, is {satisfied} {bound}.")
    if not right(best):
        return judged(FAIL, f"{name} {value}, at best {optimistic}, is {violated} {bound}.")
    ends = " and ".join(sorted((pessimistic, optimistic), key=float))
    between = f"{name} {value} lies between {ends}, too wide to tell"
    # r and d of equation (2) in docs/explanation/gate.md: reach and distance on the side where the bound lies
    more = _more_images(
        abs(figure.value - (worst if right(figure.value) else best)), figure.value - limit.value, images
    )
    needed = f"about {more:,} more test images would" if more else f"{HOPELESS} times as many test images would not"
    return judged(UNDECIDED, f"{between} whether it is {violated} {bound}; {needed}.", more)


def _more_images(half_width: float, distance: float, images: int) -> int | None:
    """Estimate, to two digits, the images until the interval no longer contains the limit; None beyond ``HOPELESS``."""
    # as a product: the metric may lie on the limit itself, at a distance of 0
    if abs(distance) * HOPELESS**0.5 <= half_width:
        return None
    # two digits: it is an estimate, and reads like one
    return max(1, int(float(f"{images * ((half_width / distance) ** 2 - 1):.2g}")))


def numbers(*values: float, sign: str = "") -> list[str]:
    """Format with two decimals, or with more where two would show a different value as equal to the last."""
    last = values[-1]
    different = [value for value in values if value != last]
    digits = next((n for n in (2, 4, 6, 8) if all(round(value, n) != round(last, n) for value in different)), 2)
    return [f"{value:{sign}.{digits}f}" for value in values]


def _finite(value: float) -> float | None:
    return float(value) if isfinite(value) else None
