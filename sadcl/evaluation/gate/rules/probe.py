"""Rule ``probe``: mAP against the linear probe's on the same images."""

from dataclasses import replace

from sadcl import params
from sadcl.evaluation.gate.evidence import Evidence, Sample, known, why_unknown
from sadcl.evaluation.gate.results import NOT_APPLICABLE, REFUSED, Bound, RuleResult, hold, numbers

METRIC = "mAP"


def probe(rule: params.Probe, evidence: Evidence) -> RuleResult:
    """Judge whether mAP exceeds that of a linear probe on the same backbone by the margin."""
    model, baseline = evidence.model, evidence.probe
    value = known(model, METRIC)
    if value is None or not isinstance(model, Sample):
        return RuleResult(REFUSED, why_unknown("the model", model, METRIC))
    if baseline is None:
        return RuleResult(NOT_APPLICABLE, "mAP is not compared with a linear probe: the scores have none.", value)
    bound = known(baseline, METRIC)
    if bound is None or not isinstance(baseline, Sample):
        return RuleResult(REFUSED, why_unknown("the linear probe", baseline, METRIC), value)
    shown_value, shown_bound = numbers(value, bound)
    words = f"mAP {shown_value} less the linear probe's {shown_bound}:"
    limit = Bound(rule.at_least, True, rule.by == "interval")
    return replace(hold(words, model.over(baseline, METRIC), limit, evidence.images, "+"), value=value, bound=bound)
