"""Rule ``relative``: a metric against the champion's on the same images."""

from dataclasses import replace

from sadcl import params
from sadcl.evaluation.gate.evidence import LOWER_IS_BETTER, Evidence, NotApplicable, Sample, known, why_unknown
from sadcl.evaluation.gate.results import NOT_APPLICABLE, REFUSED, Bound, RuleResult, hold, numbers


def relative(rule: params.Relative, evidence: Evidence) -> RuleResult:
    """Judge whether a metric is worse than the champion's by no more than the margin; a margin of 0 allows no loss.

    Both are on the same resamples, so images that are easy for both models add no noise to the difference.
    """
    model, champion = evidence.model, evidence.champion
    value, bound = known(model, rule.metric), known(champion, rule.metric)
    if value is None or not isinstance(model, Sample):
        return RuleResult(REFUSED, why_unknown("the model", model, rule.metric), bound=bound)
    if isinstance(champion, NotApplicable):
        return RuleResult(NOT_APPLICABLE, f"{rule.metric} is not compared with a champion: {champion.reason}.", value)
    if bound is None or not isinstance(champion, Sample):
        return RuleResult(REFUSED, why_unknown("the champion", champion, rule.metric), value)
    shown_value, shown_bound = numbers(value, bound)
    lower = rule.metric not in LOWER_IS_BETTER
    limit = Bound(0.0 - rule.margin if lower else rule.margin, lower, rule.by == "interval")
    result = hold(
        f"{rule.metric} {shown_value} less the champion's {shown_bound}:",
        model.over(champion, rule.metric),
        limit,
        evidence.images,
        "+",
    )
    return replace(result, value=value, bound=bound)
