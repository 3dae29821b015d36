"""Rule ``cost``: bytes and parameters of a model."""

from dataclasses import replace

from sadcl import params
from sadcl.evaluation.gate.evidence import Evidence, NotApplicable, Refusal
from sadcl.evaluation.gate.results import FAIL, NOT_APPLICABLE, PASS, REFUSED, RuleResult


def cost(rule: params.Cost, evidence: Evidence) -> RuleResult:
    """Judge whether the model has no more bytes (or parameters) than a bound, or than a multiple of the champion's."""
    # neither or both
    if (rule.at_most is None) == (rule.times is None):
        bounds = "none" if rule.at_most is None else "both"
        return RuleResult(REFUSED, f"{rule.of}: the rule needs one bound, at_most or times, but it has {bounds}.")
    value, baseline = evidence.cost.get("model", {}).get(rule.of), evidence.cost.get("champion", {}).get(rule.of)
    # the size of a refused model may be that of another file
    if value is None or isinstance(evidence.model, Refusal):
        reason = evidence.model.reason if isinstance(evidence.model, Refusal) else "the model's number is not recorded"
        return RuleResult(REFUSED, f"{rule.of} cannot be judged: {reason.rstrip('.')}.")
    if rule.at_most is not None:
        return _compare(rule, value, rule.at_most, f"{rule.at_most:,.0f}")
    if isinstance(evidence.champion, NotApplicable):
        reason = evidence.champion.reason
        return RuleResult(NOT_APPLICABLE, f"{rule.of} are not compared with a champion: {reason}.", value)
    if baseline is None or isinstance(evidence.champion, Refusal):
        reason = (
            evidence.champion.reason
            if isinstance(evidence.champion, Refusal)
            else "the champion's number is not recorded"
        )
        return RuleResult(REFUSED, f"{rule.of} cannot be judged: {reason.rstrip('.')}.", value)
    limit = (rule.times or 0) * baseline
    return replace(
        _compare(rule, value, limit, f"{limit:,.0f}, {rule.times:g} times the champion's {baseline:,}"), bound=baseline
    )


def _compare(rule: params.Cost, value: int, limit: float, bound: str) -> RuleResult:
    # a count has no sampling noise: no interval, and never undecided
    holds = value <= limit
    words = f"The model has {value:,} {rule.of}, which is {'at most' if holds else 'above'} {bound}."
    return RuleResult(PASS if holds else FAIL, words, value, limit)
