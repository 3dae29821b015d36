"""The gate's rules: one file for each kind, and one line in ``RULES``."""

from collections.abc import Callable
from typing import Any

from sadcl.evaluation.gate.evidence import Evidence
from sadcl.evaluation.gate.results import RuleResult
from sadcl.evaluation.gate.rules.absolute import absolute
from sadcl.evaluation.gate.rules.cost import cost
from sadcl.evaluation.gate.rules.per_class import per_class
from sadcl.evaluation.gate.rules.probe import probe
from sadcl.evaluation.gate.rules.relative import relative
from sadcl.evaluation.gate.rules.slices import slices

RULES: dict[str, Callable[[Any, Evidence], RuleResult]] = {
    "absolute": absolute,
    "relative": relative,
    "per class": per_class,
    "slice": slices,
    "cost": cost,
    "probe": probe,
}
"""By the kind that params.yaml names."""
