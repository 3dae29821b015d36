"""Rule ``slice``: no slice of the test images loses more of a metric than the margin against the champion."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sadcl import params
from sadcl.evaluation.bootstrap import AP_BIAS, interval_width_factor, typical
from sadcl.evaluation.gate.evidence import LOWER_IS_BETTER, Evidence, Sample, compared, why_unknown
from sadcl.evaluation.gate.results import NOT_APPLICABLE, REFUSED, RuleResult
from sadcl.evaluation.gate.rules.simultaneous import Comparisons, none_lost

MANY = 8
"""Most different numbers of a column that are slices of their own; more are cut at the quartiles."""
UNKNOWN = "unknown"
"""Name of the slice of images whose value is unknown."""


def slices(rule: params.Slice, evidence: Evidence) -> RuleResult:
    """Judge whether any slice of a column has lost more of a metric than the margin.

    Slices with few images, or without labels, are not judged; the sentence counts them.
    """
    both = compared(evidence, f"{rule.metric} by {rule.column}")
    if isinstance(both, RuleResult):
        return both
    if rule.metric not in both[0].figures:
        return RuleResult(REFUSED, why_unknown("the model", both[0], rule.metric))
    if rule.column not in evidence.columns:
        known = ", ".join(evidence.columns)
        return RuleResult(REFUSED, f"The test images have no column {rule.column} to slice by; they have {known}.")
    # there wherever `compared` found two samples
    assert evidence.part is not None
    masks = groups(evidence.columns[rule.column])
    pairs = {name: evidence.part(rows) for name, rows in masks.items() if rows.sum() >= rule.min_images}
    judged = {
        name: pair for name, pair in pairs.items() if np.isfinite([side.figures[rule.metric] for side in pair]).all()
    }
    few = len(masks) - len(judged)
    left_out = f" {few} with fewer than {rule.min_images} images, or without labels, not judged." if few else ""
    if not judged:
        return RuleResult(
            NOT_APPLICABLE, f"{rule.metric} by {rule.column}: no slice has {rule.min_images} images and a label."
        )
    return none_lost(_parts(rule.metric, judged), rule.margin, f"slices by {rule.column}", rule.metric, left_out)


def _parts(metric: str, judged: dict[str, tuple[Sample, Sample]]) -> Comparisons:
    change = np.array([model.figures[metric] - champion.figures[metric] for model, champion in judged.values()])
    draws = np.array([model.draws[metric] - champion.draws[metric] for model, champion in judged.values()])
    if metric in LOWER_IS_BETTER:
        # a loss is negative for every metric from here on
        change, draws = -change, -draws
    if metric != "mAP":
        return Comparisons(list(judged), change, draws, 1.0, np.ones(len(change)))
    # mAP is AP's mean: both corrections of AP, with the slice's own positives
    wider = np.array([interval_width_factor(typical(model.positives)) for model, _ in judged.values()])
    return Comparisons(list(judged), change, draws, AP_BIAS, wider)


def groups(column: Sequence[Any]) -> dict[str, NDArray[np.bool_]]:
    """Compute a mask [N] for each value of a column, in order; many numbers are cut at their quartiles.

    Args:
        column: strings or numbers [N]; None or NaN where the value is unknown.
    """
    values = sorted({value for value in column if value is not None and value == value}, key=_sortable)
    numbers = [value for value in values if isinstance(value, int | float)]
    # a column with any word in it is never cut: words have no quartiles
    if len(values) <= MANY or len(numbers) < len(values):
        names = {value: str(value) for value in values} | _number_names(numbers)
        # by name, so that no image is lost where a word and a number, or a word and UNKNOWN, have equal names
        named = np.array([names.get(value, UNKNOWN) for value in column], dtype=object)
        return {name: named == name for name in dict.fromkeys([*names.values(), UNKNOWN]) if name in named}
    line = np.array([np.nan if value is None else float(value) for value in column])
    # a set: where many values are equal, quartiles coincide and leave fewer slices
    ends = sorted({float(end) for end in np.nanquantile(line, [0.25, 0.5, 0.75])})
    names = _number_names(ends)
    rows = {f"below {names[ends[0]]}": line < ends[0]}
    rows |= {f"{names[a]} to {names[b]}": (line >= a) & (line < b) for a, b in pairwise(ends)}
    rows[f"from {names[ends[-1]]}"] = line >= ends[-1]
    unknown = np.isnan(line)
    return rows | ({UNKNOWN: unknown} if unknown.any() else {})


def _number_names(numbers: Sequence[float]) -> dict[float, str]:
    """Names of distinct numbers: six digits, or all digits where six would give equal names or drop whole digits."""
    short = {number: f"{number:g}" for number in numbers}
    if len(set(short.values())) == len(short) and not any("e+" in name for name in short.values()):
        return short
    return {number: str(number).removesuffix(".0") for number in numbers}


def _sortable(value: Any) -> tuple[bool, float, str]:
    # numbers before words, which Python does not compare with each other
    number = isinstance(value, int | float)
    return not number, float(value) if number else 0.0, str(value)
