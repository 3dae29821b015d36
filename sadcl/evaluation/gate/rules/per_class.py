"""Rule ``per class``: no class loses more AP than the margin against the champion."""

import numpy as np

from sadcl import params
from sadcl.evaluation.bootstrap import AP_BIAS, interval_width_factor
from sadcl.evaluation.gate.evidence import Evidence, compared
from sadcl.evaluation.gate.results import NOT_APPLICABLE, RuleResult
from sadcl.evaluation.gate.rules.simultaneous import Comparisons, none_lost


def per_class(rule: params.PerClass, evidence: Evidence) -> RuleResult:
    """Judge whether any class has lost more AP than the margin.

    Classes with few test images are not judged, since their resamples vary too little; the sentence counts them.
    """
    both = compared(evidence, "AP of each class")
    if isinstance(both, RuleResult):
        return both
    model, champion = both
    judged = np.flatnonzero(model.positives >= rule.min_positives)
    few = len(evidence.classes) - len(judged)
    left_out = f" {few} with fewer than {rule.min_positives} test images not judged." if few else ""
    if not len(judged):
        return RuleResult(NOT_APPLICABLE, f"AP of each class: no class has {rule.min_positives} test images.")
    change, draws = model.ap - champion.ap, model.ap_draws - champion.ap_draws
    names = [evidence.classes[j] for j in judged]
    parts = Comparisons(names, change[judged], draws[judged], AP_BIAS, interval_width_factor(model.positives[judged]))
    return none_lost(parts, rule.margin, "classes", "AP", left_out)
