"""Settings of the gate: a class for each kind of rule, and a line in ``RULES``."""

from typing import Annotated, Any, Literal

from pydantic import Field

from sadcl.params.section import Section
from sadcl.params.units import Images, Percent, Points


class Absolute(Section):
    """A metric against a fixed bound; give one of `at_least` and `at_most`."""

    kind: Literal["absolute"]
    """Kind of the rule."""
    metric: str
    """A name in metrics.json: mAP, CP, CR, CF1, CF1_harmonic, OP, OR, OF1; one of the top-3 metrics (top3.OF1); one of
    the served model's labels (in_use.OF1); robustness, where `evaluate.corruptions` names any; or ECE, the expected
    calibration error, of which less is better."""
    at_least: Percent | None = Field(allow_inf_nan=False, default=None)
    """Lower bound of the metric."""
    at_most: Percent | None = Field(allow_inf_nan=False, default=None)
    """Upper bound of the metric."""
    margin: Points = Field(ge=0, allow_inf_nan=False, default=0.0)
    """How far the metric may miss its bound."""
    by: Literal["interval", "value"] = "interval"
    """What must keep the bound: the whole 95 % interval (else the gate is undecided), or the value alone."""


class Relative(Section):
    """A metric against the champion's on the same images."""

    kind: Literal["relative"]
    """Kind of the rule."""
    metric: str
    """A name in metrics.json, as for the rule `absolute`."""
    margin: Points = Field(ge=0, allow_inf_nan=False, default=0.0)
    """How much worse than the champion's the metric may be."""
    by: Literal["interval", "value"] = "interval"
    """What may not fall below the margin: the whole 95 % interval of the difference (else the gate is undecided), or
    the difference alone."""


class PerClass(Section):
    """The AP of each class against the champion's, without false alarms where there are many classes."""

    kind: Literal["per class"]
    """Kind of the rule."""
    margin: Points = Field(ge=0, allow_inf_nan=False)
    """How much AP a class may lose."""
    min_positives: Images = Field(ge=2, default=20)
    """Test images that a class needs to be judged."""


class Slice(Section):
    """A metric in each slice of the test images against the champion's, without false alarms where there are many."""

    kind: Literal["slice"]
    """Kind of the rule."""
    column: str
    """A column of the source (camera, place, ...); `labels`, the number of labels of a photo; or `size`, its longer
    side in pixels. More than eight different numbers are cut at their quartiles."""
    metric: str
    """A name in metrics.json, as for the rule `absolute`."""
    margin: Points = Field(ge=0, allow_inf_nan=False)
    """How much of the metric a slice may lose."""
    min_images: Images = Field(ge=2, default=100)
    """Test images that a slice needs to be judged."""


class Cost(Section):
    """The cost of the registered file; give one of `at_most` and `times`."""

    kind: Literal["cost"]
    """Kind of the rule."""
    of: Literal["bytes", "parameters"]
    """What is counted."""
    at_most: float | None = Field(gt=0, allow_inf_nan=False, default=None)
    """Upper bound of the count."""
    times: float | None = Field(gt=0, allow_inf_nan=False, default=None)
    """Upper bound as a multiple of the champion's count."""


Rule = Annotated[Absolute | Relative | PerClass | Slice | Cost, Field(discriminator="kind")]
RULES: dict[Any, type[Section]] = {
    "absolute": Absolute,
    "relative": Relative,
    "per class": PerClass,
    "slice": Slice,
    "cost": Cost,
}


class Published(Section):
    """Published figures that the report shows next to the model's, without gating on them."""

    name: str
    """Where the figures come from."""
    figures: dict[str, Percent]
    """Value of each metric."""


class Gate(Section):
    """What a model must show before it may become challenger."""

    rules: tuple[Rule, ...] = Field(min_length=1)
    """Rules that must all pass or be not applicable."""
    published: Published | None = None
    """Figures of a paper, for the report."""
