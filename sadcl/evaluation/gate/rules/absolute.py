"""Rule ``absolute``: a metric against a bound of the settings."""

from dataclasses import replace

from sadcl import params
from sadcl.evaluation.gate.evidence import Evidence, Sample, known, why_unknown
from sadcl.evaluation.gate.results import REFUSED, Bound, RuleResult, hold, numbers


def absolute(rule: params.Absolute, evidence: Evidence) -> RuleResult:
    """Judge whether a metric reaches its bound, which it may miss by the margin."""
    bounds = [bound for bound in (rule.at_least, rule.at_most) if bound is not None]
    if len(bounds) != 1:
        values = " and ".join(map(str, bounds)) or "none"
        return RuleResult(
            REFUSED, f"{rule.metric}: the rule needs one bound, at_least or at_most, but it has {values}."
        )
    [bound], lower, model = bounds, rule.at_least is not None, evidence.model
    value = known(model, rule.metric)
    if value is None or not isinstance(model, Sample):
        return RuleResult(REFUSED, why_unknown("the model", model, rule.metric), bound=bound)
    why = f"{' - ' if lower else ' + '}".join(numbers(bound, rule.margin)) if rule.margin else ""
    limit = Bound(bound - rule.margin if lower else bound + rule.margin, lower, rule.by == "interval", why)
    result = hold(rule.metric, model.interval(rule.metric), limit, evidence.images)
    return replace(result, value=value, bound=bound)
