"""The gate: rules that hold a model against fixed bounds and against the champion.

A rule ends as pass, fail, not applicable or refused, in words. Nothing passes silently: what cannot
be judged is refused, and so is a verdict in which no rule could be applied.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from sadcl import params

PASS, FAIL, NOT_APPLICABLE, REFUSED = "pass", "fail", "not applicable", "refused"


@dataclass(frozen=True)
class Refusal:
    """Figures that should be there and are not, or that nobody may trust; why, as a sentence."""

    reason: str


@dataclass(frozen=True)
class NotApplicable:
    """There is nothing to compare with, and nothing wrong; why, as a sentence."""

    reason: str


Figures = Mapping[str, float]
"""Figures by name, in percent."""


@dataclass(frozen=True)
class Comparison:
    """How a rule holds a value against a bound.

    Attributes:
        limit: what the value may just reach, of bound and margin.
        lower: the limit is a lower one.
        held: the words when the rule holds.
        relative: the bound is the champion's value.
    """

    limit: Callable[[float, float], float]
    lower: bool
    held: str
    relative: bool = False

    def holds(self, value: float, bound: float, margin: float) -> bool:
        """Whether the value stays on the right side of the limit, which itself is right."""
        limit = self.limit(bound, margin)
        return value >= limit if self.lower else value <= limit


def less(bound: float, margin: float) -> float:
    """A lower limit: the value may miss the bound by the margin."""
    return bound - margin


def more(bound: float, margin: float) -> float:
    """An upper limit: the value may exceed the bound by the margin."""
    return bound + margin


COMPARISONS = {
    "at least": Comparison(less, lower=True, held="is at least"),
    "at most": Comparison(more, lower=False, held="is at most"),
    "not below champion": Comparison(less, lower=True, held="is not below", relative=True),
    "not above champion": Comparison(more, lower=False, held="is not above", relative=True),
}
"""A line a rule; the names are those of ``params.Rule.comparison``."""


def judge(
    rules: Sequence[params.Rule], figures: Figures | Refusal, champion: Figures | Refusal | NotApplicable
) -> dict[str, Any]:
    """Hold a model against every rule.

    Args:
        rules: of params.yaml.
        figures: of the model.
        champion: figures of the champion on the same images.

    Returns:
        ``verdict`` (pass, fail or refused), ``words``, and ``rules``: a dictionary for each, with
        metric, comparison, value, bound, margin, result, words. JSON can hold all of it.
    """
    judged = [_judged(rule, figures, champion) for rule in rules]
    verdict, words = _overall([rule["result"] for rule in judged])
    return {"verdict": verdict, "words": words, "rules": judged}


def _judged(
    rule: params.Rule, figures: Figures | Refusal, champion: Figures | Refusal | NotApplicable
) -> dict[str, Any]:
    """One rule's row in the verdict."""
    value, bound = _known(figures, rule.metric), rule.bound
    if rule.comparison in COMPARISONS and COMPARISONS[rule.comparison].relative:
        bound = _known(champion, rule.metric)
    result, words = _result(rule, figures, champion, value, bound)
    return {
        "metric": rule.metric,
        "comparison": rule.comparison,
        "value": value,
        "bound": _finite(bound),
        "margin": _finite(rule.margin),
        "result": result,
        "words": words,
    }


def _result(
    rule: params.Rule,
    figures: Figures | Refusal,
    champion: Figures | Refusal | NotApplicable,
    value: float | None,
    bound: float | None,
) -> tuple[str, str]:
    """Result and words of one rule; refusals first, so that nothing hides them."""
    comparison = COMPARISONS.get(rule.comparison)
    if comparison is None:
        return (
            REFUSED,
            f"{rule.metric}: nobody knows the comparison {rule.comparison}; known: {', '.join(COMPARISONS)}.",
        )
    if not isfinite(rule.margin) or rule.margin < 0:
        return REFUSED, f"{rule.metric}: the margin must be a number that is not negative, but it is {rule.margin}."
    if value is None:
        return REFUSED, _why_unknown("The model", figures, rule.metric)
    if comparison.relative and isinstance(champion, NotApplicable):
        return NOT_APPLICABLE, f"{rule.metric} is not compared with a champion: {champion.reason}."
    if bound is None and comparison.relative:
        return REFUSED, _why_unknown("The champion", champion, rule.metric)
    if bound is None or not isfinite(bound):
        return (
            REFUSED,
            f"{rule.metric}: the rule `{rule.comparison}` needs a bound that is a number, but it is {bound}.",
        )
    holds = comparison.holds(value, bound, rule.margin)
    return (PASS if holds else FAIL), _sentence(rule, comparison, value, bound, holds)


def _sentence(rule: params.Rule, comparison: Comparison, value: float, bound: float, holds: bool) -> str:
    digits = _digits(value, comparison.limit(bound, rule.margin))
    v, b, m = (f"{number:.{digits}f}" for number in (value, bound, rule.margin))
    sign, contrary, add, word, missed = (
        (">=", "<", "-", "less", "is below") if comparison.lower else ("<=", ">", "+", "plus", "is above")
    )
    whose = "the champion's " if comparison.relative else ""
    margin = f" {word} a margin of {m}" if rule.margin else ""
    return (
        f"{rule.metric} {v} {comparison.held if holds else missed} {whose}{b}{margin} "
        f"({v} {sign if holds else contrary} {b} {add} {m})."
    )


def _digits(value: float, limit: float) -> int:
    """Decimals that tell the value from its limit: two, or more where two would make them look equal."""
    return next((n for n in (2, 4, 6, 8) if round(value, n) != round(limit, n)), 2)


def _known(figures: Figures | Refusal | NotApplicable, metric: str) -> float | None:
    return None if isinstance(figures, Refusal | NotApplicable) else _finite(figures.get(metric))


def _finite(value: float | None) -> float | None:
    return None if value is None or not isfinite(value) else float(value)


def _why_unknown(who: str, figures: Figures | Refusal | NotApplicable, metric: str) -> str:
    if isinstance(figures, Refusal | NotApplicable):
        return f"{metric} cannot be judged: {figures.reason.rstrip('.')}."
    if metric not in figures:
        return f"{metric} cannot be judged: nobody knows this metric; known: {', '.join(figures)}."
    return f"{metric} cannot be judged: {who.lower()}'s value is {figures[metric]}, which is not a number."


def _overall(results: Sequence[str]) -> tuple[str, str]:
    counts = Counter(results)
    skipped = f"; {_rules(counts[NOT_APPLICABLE])} not applicable" if counts[NOT_APPLICABLE] else ""
    if counts[REFUSED]:
        return REFUSED, f"The gate refuses to judge: {_rules(counts[REFUSED])} of {len(results)} could not be judged."
    if counts[FAIL]:
        return FAIL, f"The model fails: {_rules(counts[FAIL])} of {len(results)} failed{skipped}."
    if not counts[PASS]:
        return REFUSED, "The gate refuses to judge: no rule could be applied."
    return PASS, f"The model passes: {_rules(counts[PASS])} of {len(results)} held{skipped}."


def _rules(count: int) -> str:
    return f"{count} rule" if count == 1 else f"{count} rules"
