"""Results of gate rules: bounds held against an interval."""

from dataclasses import dataclass
from math import isfinite

from sadcl.evaluation.bootstrap import Interval

PASS, FAIL, UNDECIDED, NOT_APPLICABLE, REFUSED = "pass", "fail", "undecided", "not applicable", "refused"
HOPELESS = 100
"""So many times the test images are more than anybody will get."""


@dataclass(frozen=True)
class RuleResult:
    """A rule's answer.

    Attributes:
        result: pass, fail, undecided, not applicable or refused.
        words: why, as one sentence that a reviewer can check.
        value: the model's.
        bound: what it is held against: a number of the settings, or the champion's value.
        low, high: the 95 % interval of what was judged: the value, or its difference from the champion's.
        more_images: about how many more test images would decide; None where it is decided, or nobody could get them.
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
    """What a figure must not be below, or not above; the limit itself is right.

    Attributes:
        value: of the limit.
        lower: it is a lower one.
        by_interval: asked of the figure's whole interval, or (false) of the figure alone.
        why: where the value comes from, in words; may be empty.
    """

    value: float
    lower: bool
    by_interval: bool
    why: str = ""


def hold(name: str, figure: Interval, limit: Bound, images: int, sign: str = "") -> RuleResult:
    """Hold a figure against a limit.

    By its interval it passes when all of that lies on the right side, fails when all lies on the wrong one, and is
    undecided between. An interval narrows with the root of the number of images, which says how many would decide.

    Args:
        name: of the figure, in words.
        figure: with its interval.
        limit: what it is held against.
        images: N, on which it stands.
        sign: "+" shows the sign of what is above zero, too.
    """
    worst, best = (figure.low, figure.high) if limit.lower else (figure.high, figure.low)
    value, most, least, at = numbers(figure.value, worst, best, limit.value, sign=sign)
    side = "below" if limit.lower else "above"
    bound = f"{side} {at}{f' ({limit.why})' if limit.why else ''}"

    def right(number: float) -> bool:
        return number >= limit.value if limit.lower else number <= limit.value

    def held(result: str, words: str, more_images: int | None = None) -> RuleResult:
        return RuleResult(result, words, low=_finite(figure.low), high=_finite(figure.high), more_images=more_images)

    if not limit.by_interval:
        holds = right(figure.value)
        return held(PASS if holds else FAIL, f"{name} {value} is {'not ' if holds else ''}{bound}.")
    if not (isfinite(worst) and isfinite(best)):
        return held(REFUSED, f"{name} {value} has no interval: resamples of the test images have no such figure.")
    if right(worst):
        return held(PASS, f"{name} {value}, at worst {most}, is not {bound}.")
    if not right(best):
        return held(FAIL, f"{name} {value}, at best {least}, is {bound}.")
    between = f"{name} {value} lies between {' and '.join(sorted((most, least), key=float))}, too wide to tell"
    more = _more_images(
        abs(figure.value - (worst if right(figure.value) else best)), figure.value - limit.value, images
    )
    told = f"about {more:,} more test images would" if more else f"{HOPELESS} times as many test images would not"
    return held(UNDECIDED, f"{between} whether it is {bound}; {told}.", more)


def _more_images(reach: float, apart: float, images: int) -> int | None:
    """How many, to two digits: it is a guess."""
    if abs(apart) * HOPELESS**0.5 <= reach:
        return None
    return max(1, int(float(f"{images * ((reach / apart) ** 2 - 1):.2g}")))


def numbers(*values: float, sign: str = "") -> list[str]:
    """With two decimals, or with more where two would make one look equal to the last."""
    last = values[-1]
    apart = [value for value in values if value != last]
    digits = next((n for n in (2, 4, 6, 8) if all(round(value, n) != round(last, n) for value in apart)), 2)
    return [f"{value:{sign}.{digits}f}" for value in values]


def _finite(value: float) -> float | None:
    return float(value) if isfinite(value) else None
