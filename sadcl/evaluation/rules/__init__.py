"""The gate's rules: a file for each kind, and a line here."""

from collections.abc import Callable
from typing import Any

from sadcl.evaluation.rules.absolute import absolute
from sadcl.evaluation.rules.base import Evidence, Held
from sadcl.evaluation.rules.cost import cost
from sadcl.evaluation.rules.per_class import per_class
from sadcl.evaluation.rules.relative import relative
from sadcl.evaluation.rules.slices import slices

RULES: dict[str, Callable[[Any, Evidence], Held]] = {
    "absolute": absolute,
    "relative": relative,
    "per class": per_class,
    "slice": slices,
    "cost": cost,
}
"""By the kind that params.yaml names."""
